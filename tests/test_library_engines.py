"""Every named map and its derivatives, by every engine, against the oracle and many digits."""

import numpy as np
import pytest
from term_oracle import value
from test_library import MU, ROWS, X, Z, environment

from pushforward.numeric import engine_status

NATIVE = ("native",) * (not engine_status()["native"])
ENGINES = {
    # derived term: engines and types
    "map": [("reference", "float64"), ("numpy", "float64"), ("numpy", "float32")]
    + [(engine, dtype) for engine in NATIVE for dtype in ("float64", "float32")],
    "jacobian": [("numpy", "float64"), ("numpy", "float32")] + [(e, "float64") for e in NATIVE],
    "flat": [("reference", "float64"), ("numpy", "float64")],
    "lions": [("numpy", "float64")],
}
DERIVED = {
    "map": lambda source: source,
    "jacobian": lambda source: source.jacobian(),
    "flat": lambda source: source.flat_derivative(Z),
    "lions": lambda source: source.lions_derivative(Z),
}


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.mark.parametrize("derived", DERIVED)
@pytest.mark.parametrize("name", ROWS)
def test_every_engine(name, derived):
    source, _ = ROWS[name]
    env = environment(source, seed=3, n=4)
    formula = DERIVED[derived](source)
    bound = formula.bind(**{p.name: env[p] for p in formula.parameters})
    (points, weights), more = env[MU], {"z": env[Z]} if formula.points else {}
    exact = bound.at_precision(points, weights, env[X], digits=40, **more).astype(float)
    np.testing.assert_allclose(exact.squeeze((0, 1)[: 1 + len(more)]), value(formula.term, env),
                               rtol=1e-9, atol=1e-9)  # fmt: skip
    for engine, dtype in ENGINES[derived]:
        got = bound.evaluate(points, weights, env[X], engine=engine, dtype=dtype, **more)
        assert np.isfinite(got.bound).all()
        error = np.abs(got.value - exact)
        assert (error <= got.bound + 2.0**-53 * np.abs(exact)).all(), (engine, dtype)
