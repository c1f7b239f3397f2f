"""Arrays of any library stay where they are: library, type and device in, the same out."""

import contextlib
import warnings

import numpy as np
import pytest
import sympy as sp
from hypothesis import HealthCheck, given, settings
from term_recipes import environment as recipe
from test_engines_agree import ORDER, SEEDS, inputs_of, terms
from test_library import MU, ROWS, X, Z, environment

from pushforward.numeric import arrays, engines
from pushforward.numeric.blocked import evaluate
from pushforward.numeric.lowering import lower
from pushforward.numeric.reference import interpret
from pushforward.symbolic import SymbolicMap, VelocityField, component, integral, library as lib

DERIVED = {
    "map": lambda source: source,
    "jacobian": lambda source: source.jacobian(),
    "flat": lambda source: source.flat_derivative(Z),
    "lions": lambda source: source.lions_derivative(Z),
}
FEW = ["softmax", "sigmoid", "causal", "Motsch-Tadmor"]


class Library:
    """How arrays of one library are made from NumPy and looked at."""

    def __init__(self, name):
        pytest.importorskip("array_api_strict" if name == "strict" else name)
        self.name = name

    def make(self, array, dtype):
        array = np.array(array, dtype=dtype)
        if self.name == "torch":
            import torch

            return torch.tensor(array)
        if self.name == "jax":
            import jax.numpy as jnp

            return jnp.asarray(array)
        import array_api_strict

        return array_api_strict.asarray(array)

    def double(self):
        """A context in which the library has float64."""
        if self.name != "jax":
            return contextlib.nullcontext()
        import jax

        if hasattr(jax, "enable_x64"):
            return jax.enable_x64()
        from jax.experimental import enable_x64

        return enable_x64()


@pytest.fixture(params=["torch", "jax", "strict"])
def library(request):
    found = Library(request.param)
    with found.double():
        yield found


def cases(names, **kwargs):
    return [
        pytest.param(library, name, id=f"{library}-{name}", **kwargs)
        for library in ("torch", "jax", "strict")
        for name in names[library]
    ]


DEFAULT = {"torch": FEW, "jax": ["linear"], "strict": FEW}
REST = {library: [name for name in ROWS if name not in FEW] for library in ("torch", "strict")}
REST["jax"] = ["softmax", "sigmoid", "Motsch-Tadmor"]  # JAX compiles every operation: seconds a map


@pytest.mark.parametrize(
    "library, name", [*cases(DEFAULT), *cases(REST, marks=pytest.mark.slow)], indirect=["library"]
)
def test_library_maps(library, name, monkeypatch):
    """Values and derivatives within the bound of the reference, never by way of NumPy."""
    source, _ = ROWS[name]
    env = environment(source, seed=3, n=4)
    for derive in DERIVED.values():
        formula = derive(source)
        numbers = {p.name: env[p] for p in formula.parameters}
        more = {"z": env[Z][None]} if formula.points else {}
        arguments = (*env[MU], env[X][None])
        exact = formula.bind(**numbers).evaluate(*arguments, engine="reference", **more)
        for dtype in ("float32", "float64"):
            made = lambda array: library.make(array, dtype)  # noqa: B023, E731
            bound = formula.bind(**{k: made(a) for k, a in numbers.items()})
            ours = [made(a) for a in arguments], {k: made(a) for k, a in more.items()}
            with not_by_way_of_numpy(monkeypatch):
                got = bound(*ours[0], engine="numpy", **ours[1])
            assert type(got) is type(ours[0][0]) and got.dtype == ours[0][0].dtype
            most = bound.evaluate(*ours[0], engine="numpy", **ours[1]).bound
            error = np.abs(arrays.to_numpy(got) - exact.value)
            assert np.isfinite(arrays.to_numpy(most)).all()
            if dtype == "float64":
                assert (error <= arrays.to_numpy(most) + exact.bound).all()
            else:  # the inputs were rounded on the way into the library
                np.testing.assert_allclose(error, 0, atol=2e-4 * (1 + np.abs(exact.value).max()))


@contextlib.contextmanager
def not_by_way_of_numpy(monkeypatch):
    """Every conversion to NumPy fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("converted to NumPy")

    with monkeypatch.context() as patch:
        for module in (arrays, engines):
            patch.setattr(module, "to_numpy", refuse)
        with contextlib.suppress(ImportError):
            import torch

            patch.setattr(torch.Tensor, "numpy", refuse)
            patch.setattr(torch.Tensor, "__array__", refuse)
        yield


def test_a_conversion_is_seen(monkeypatch):
    torch = pytest.importorskip("torch")
    with not_by_way_of_numpy(monkeypatch), pytest.raises(AssertionError, match="converted"):
        np.asarray(torch.ones(2))


@pytest.mark.parametrize("library", ["strict"], indirect=True)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(terms(), SEEDS)
def test_random_terms(library, term, seed):
    env, program = recipe(seed), lower(term)
    want = interpret(program, inputs_of(env, rows=3), ORDER)
    cast = lambda array: library.make(array, "float64")  # noqa: E731
    got = np.asarray(evaluate(program, inputs_of(env, 3, cast), ORDER))
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9 * (1 + np.abs(want).max()))


@pytest.mark.parametrize(
    "library", ["torch", "strict", pytest.param("jax", marks=pytest.mark.slow)], indirect=True
)
def test_flows(library):
    field = lib.cucker_smale(1).bind(K=1.0, beta=0.5)
    rng = np.random.default_rng(2)
    points, weights, passive = rng.normal(size=(5, 2)), np.full(5, 0.2), rng.normal(size=(2, 2))
    for method in ("euler",) if library.name == "jax" else ("euler", "dopri5"):
        want = field.flow(points, weights, 0.5, steps=3, method=method, x=passive)
        made = [library.make(a, "float64") for a in (points, weights, passive)]
        got = field.flow(*made[:2], 0.5, steps=3, method=method, x=made[2])
        for a, b in zip(got, want, strict=True):
            assert type(a) is type(made[0]) and a.dtype == made[0].dtype
            np.testing.assert_allclose(np.asarray(a), b, rtol=1e-7, atol=1e-9)


def test_a_function_outside_the_standard_is_named():
    """A library that is not known has the functions of the standard and the sigmoid."""
    strict = Library("strict")
    x = SymbolicMap(sp.erf(component(X, 0)) * X, X, lib.MU).bind()
    ones = strict.make(np.ones((2, 1)), "float64")
    with pytest.raises(ValueError, match=r"array_api_strict has no erf; pass arrays of NumPy"):
        x(ones, None, ones)


def test_jax_without_double_precision_says_so():
    pytest.importorskip("jax")
    ones = Library("jax").make(np.ones((2, 1)), "float32")
    field = VelocityField(integral(lib.Y - X, lib.Y, lib.MU), X, lib.MU).bind()
    assert field(ones, None, ones).dtype == np.float32
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="float64.*jax_enable_x64"):
            field(ones, None, ones, dtype="float64")


@pytest.mark.parametrize("dtype", ["float16", "longdouble"])
def test_types_without_engines_are_refused(dtype):
    """No rounding bound would hold in them; a call says which type to take."""
    bound = lib.softmax_attention().bind(A=np.eye(2), V=np.eye(2))
    points = np.ones((3, 2), dtype)
    name = np.dtype(dtype).name
    with pytest.raises(ValueError, match=f"expected dtype float32 or float64, got {name}"):
        bound(points, None, points)
    assert bound(points, None, points, dtype="float32").dtype == np.float32
