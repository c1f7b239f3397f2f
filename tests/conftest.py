"""What every test runs under."""

import pytest
from hypothesis import HealthCheck, settings

# A slow machine is no failure, and the same commit draws the same examples.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("suite")


@pytest.fixture(autouse=True, scope="session")
def findings_stay_in_the_run(tmp_path_factory):
    """Counterexamples that tests provoke are not kept in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_HOME", str(tmp_path_factory.mktemp("home")))
        yield
