"""What every test runs under."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def findings_stay_in_the_run(tmp_path_factory):
    """Counterexamples that tests provoke are not kept in the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_HOME", str(tmp_path_factory.mktemp("home")))
        yield
