"""Flows against exact solutions, orders of the methods, and identities of Vlasov flows."""

import numpy as np
import pytest
import sympy as sp

from pushforward.numeric import BoundField, Box, Product, Sphere, flow_derivatives, integrate
from pushforward.symbolic import (
    Matrix,
    Measure,
    Point,
    Scalar,
    VelocityField,
    block,
    component,
    dot,
    gibbs,
    integral,
    norm2,
    stack,
)
from pushforward.symbolic.library import sphere_attention

x, y, mu = Point("x"), Point("y"), Measure("mu")
A, V, c, t = Matrix("A"), Matrix("V"), Scalar("c"), Scalar("t")
CONSENSUS = VelocityField(integral(y - x, y, mu), x, mu).bind()
SOFTMAX = VelocityField(gibbs(V @ y, y, mu, energy=dot(x, A @ y)), x, mu)
LINEAR = VelocityField(integral(dot(x, A @ y) * (V @ y), y, mu), x, mu)
KURAMOTO = VelocityField(
    stack(integral(sp.sin(component(y, 0) - component(x, 0)), y, mu)), x, mu
).bind()
RATE = 1 / (1 + norm2(block(y, 0, 1) - block(x, 0, 1)))
CUCKER_SMALE = VelocityField(
    stack(block(x, 1, 2), integral(RATE * (block(y, 1, 2) - block(x, 1, 2)), y, mu)), x, mu
).bind()

RNG = np.random.default_rng(4)
POINTS, WEIGHTS = RNG.normal(size=(6, 2)), RNG.dirichlet(np.ones(6))
ATTENTION = SOFTMAX.bind(A=[[0.5, 0.2], [-0.1, 0.3]], V=[[0.4, 0.0], [0.3, -0.5]])


def consensus_exactly(points, weights, time):
    mean = weights @ points
    return mean + (points - mean) * np.exp(-time)


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
@pytest.mark.parametrize("engine", ["auto", "numpy", "reference"])
def test_consensus(method, engine):
    got = CONSENSUS.flow(POINTS, WEIGHTS, 1.5, steps=100, method=method, engine=engine)
    np.testing.assert_allclose(got, consensus_exactly(POINTS, WEIGHTS, 1.5), atol=1e-8)


def test_linear_attention_in_one_dimension():
    """x(t) = x_0 (1 - 2 v a M_0 t)^(-1/2), with M_0 the second moment."""
    tokens, weights = np.array([[-1.0], [0.5], [2.0]]), np.array([0.2, 0.5, 0.3])
    field = LINEAR.bind(A=[[0.7]], V=[[1.0]])
    particles, passive = field.flow(tokens, weights, 0.1, method="dopri5", x=[[0.3]])
    assert passive[0, 0] == pytest.approx(0.338276548880, rel=1e-9)
    np.testing.assert_allclose(particles, tokens * (1 - 2 * 0.7 * 1.525 * 0.1) ** -0.5, rtol=1e-9)


def test_softmax_attention_on_a_gaussian():
    """The variance solves s' = 2 v a s^2, so s(t) = s_0 / (1 - 2 v a s_0 t)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    points = 0.2 + 0.5 * nodes[:, None]
    field = SOFTMAX.bind(A=[[0.6]], V=[[0.8]])
    time, s0 = 0.7, 0.25
    shrink = 1 - 2 * 0.48 * s0 * time
    got = field.flow(points, weights, time, steps=200)[:, 0]
    mean = 0.2 * np.exp(0.8 * time) * shrink**-0.5
    np.testing.assert_allclose(got, mean + 0.5 * nodes * shrink**-0.5, atol=1e-8)


def test_two_kuramoto_oscillators():
    """tan(phi / 2) decays like exp(-t); the mean phase stays."""
    angles = np.array([[0.3], [2.1]])
    got = KURAMOTO.flow(angles, [0.5, 0.5], 2.0, method="dopri5")
    assert got.mean() == pytest.approx(1.2, abs=1e-10)
    want = np.tan(0.9) * np.exp(-2.0)
    assert np.tan((got[1, 0] - got[0, 0]) / 2) == pytest.approx(want, rel=1e-8)


def test_two_cucker_smale_bodies():
    """With rate 1 / (1 + r^2) the sum of the relative velocity and arctan r is conserved."""
    state = np.array([[0.0, 0.1], [0.5, 0.6]])
    r0, w0 = 0.5, 0.5
    path = CUCKER_SMALE.flow(state, [0.25, 0.75], 3.0, steps=100, trajectory=True, engine="numpy")
    assert path.shape == (101, 2, 2)
    r, w = (path[:, 1] - path[:, 0]).T
    np.testing.assert_allclose(w + np.arctan(r), w0 + np.arctan(r0), atol=1e-8)
    momentum = path[:, :, 1] @ [0.25, 0.75]
    np.testing.assert_allclose(momentum, momentum[0], atol=1e-12)


@pytest.mark.parametrize("method, order", [("euler", 1), ("rk4", 4)])
def test_orders(method, order):
    exact = ATTENTION.flow(POINTS, WEIGHTS, 1.0, method="dopri5", rtol=1e-13, atol=1e-14)
    steps = np.array([4, 8, 16, 32])
    errors = [
        np.abs(ATTENTION.flow(POINTS, WEIGHTS, 1.0, steps=int(k), method=method) - exact).max()
        for k in steps
    ]
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("rtol", [1e-4, 1e-7, 1e-10])
def test_the_adaptive_method_keeps_its_tolerance(rtol):
    exact = consensus_exactly(POINTS, WEIGHTS, 2.0)
    for steps in (1, 50):
        got = CONSENSUS.flow(
            POINTS, WEIGHTS, 2.0, method="dopri5", steps=steps, rtol=rtol, atol=rtol
        )
        assert np.abs(got - exact).max() < 10 * rtol


def test_adaptive_steps_are_few():
    calls = []

    def counted(points, weights, x):
        calls.append(1)
        return weights @ points - x

    integrate(counted, POINTS, WEIGHTS, 2.0, 1, "dopri5")
    assert len(calls) < 400


@pytest.mark.parametrize("method", ["rk4", "dopri5", "euler"])
def test_trajectories_end_where_flows_do(method):
    path, carried = ATTENTION.flow(
        POINTS, WEIGHTS, 1.0, steps=5, method=method, x=POINTS[:3], trajectory=True
    )
    assert path.shape == (6, 6, 2) and carried.shape == (6, 3, 2)
    np.testing.assert_array_equal(path[0], POINTS)
    np.testing.assert_allclose(carried, path[:, :3], rtol=1e-12)
    end = ATTENTION.flow(POINTS, WEIGHTS, 1.0, steps=5, method=method)
    np.testing.assert_allclose(path[-1], end, rtol=1e-7)


def test_the_flow_is_a_semigroup_and_can_be_reversed():
    half = ATTENTION.flow(POINTS, WEIGHTS, 0.5, method="dopri5")
    whole = ATTENTION.flow(POINTS, WEIGHTS, 1.0, method="dopri5")
    np.testing.assert_allclose(
        ATTENTION.flow(half, WEIGHTS, 0.5, method="dopri5"), whole, atol=1e-8
    )
    back = ATTENTION.flow(whole, WEIGHTS, -1.0, method="dopri5")
    np.testing.assert_allclose(back, POINTS, atol=1e-8)
    np.testing.assert_array_equal(ATTENTION.flow(POINTS, WEIGHTS, 0.0), POINTS)


def test_passive_points_act_on_nothing():
    alone = ATTENTION.flow(POINTS, WEIGHTS, 1.0, steps=6)
    with_others, _ = ATTENTION.flow(POINTS, WEIGHTS, 1.0, x=100 * POINTS, steps=6)
    np.testing.assert_array_equal(with_others, alone)
    # A particle of weight zero is a passive point.
    ghost = ATTENTION.flow(np.concatenate([POINTS, [[0.3, 0.4]]]), [*WEIGHTS, 0.0], 1.0, steps=6)
    _, carried = ATTENTION.flow(POINTS, WEIGHTS, 1.0, x=[0.3, 0.4], steps=6)
    np.testing.assert_allclose(ghost[-1], carried[0], rtol=1e-13)


def test_a_field_that_depends_on_time():
    field = VelocityField(c * t * x, x, mu, time=t).bind(c=2.0)
    assert isinstance(field, BoundField)
    got = field.flow([[1.0]], [1.0], 1.0, method="dopri5")
    assert got.item() == pytest.approx(np.exp(1.0), rel=1e-8)
    assert field([[1.0]], [1.0], [[3.0]], t=0.5).item() == 3.0
    with pytest.raises(ValueError, match="t="):
        field([[1.0]], [1.0], [[3.0]])


def test_a_black_box_field():
    def pull(points, weights, x):
        points -= points  # it may write on what it is given
        return -x

    got, carried = integrate(pull, POINTS, WEIGHTS, 1.0, 50, "rk4", [[1.0, 0.0]])
    np.testing.assert_allclose(got, POINTS * np.exp(-1.0), atol=1e-8)
    np.testing.assert_allclose(carried, [[np.exp(-1.0), 0.0]], atol=1e-8)


def test_floating_types_and_libraries():
    few = {"steps": 12, "engine": "numpy"}
    single = CONSENSUS.flow(POINTS.astype(np.float32), WEIGHTS, 1.0, **few)
    assert single.dtype == np.float32
    cast = CONSENSUS.flow(POINTS, WEIGHTS, 1.0, dtype="float32", x=POINTS, **few)
    assert cast[1].dtype == np.float32
    np.testing.assert_allclose(single, consensus_exactly(POINTS, WEIGHTS, 1.0), atol=1e-5)
    torch = pytest.importorskip("torch")
    tensors = torch.tensor(POINTS), torch.tensor(WEIGHTS)
    for method in ("rk4", "dopri5"):
        got = CONSENSUS.flow(*tensors, 1.0, method=method, steps=12, rtol=1e-6, atol=1e-6)
        assert isinstance(got, torch.Tensor)
        np.testing.assert_allclose(got.numpy(), consensus_exactly(POINTS, WEIGHTS, 1.0), atol=1e-5)


# ---- flows that stay on spheres

ON_SPHERE = sphere_attention().bind(A=3 * np.eye(3), V=[[0.5, 1, 0], [-1, 0.5, 0], [0, 0.3, 1]])
TOKENS = Sphere(3).sample(RNG, 6)


def test_points_of_a_sphere_never_drift():
    for method in ("euler", "rk4", "dopri5"):
        path = ON_SPHERE.flow(
            TOKENS,
            WEIGHTS,
            3.0,
            steps=12,
            method=method,
            domain=Sphere(3),
            engine="numpy",
            trajectory=True,
            rtol=1e-5,
            atol=1e-5,
        )
        assert np.abs(np.linalg.norm(path, axis=2) - 1).max() < 5e-16
    # Without the domain, they do.
    free = ON_SPHERE.flow(TOKENS, WEIGHTS, 3.0, steps=20, method="euler", engine="numpy")
    assert np.abs(np.linalg.norm(free, axis=1) - 1).max() > 1e-2


@pytest.fixture(scope="module")
def end_on_the_sphere():
    return ON_SPHERE.flow(
        TOKENS, WEIGHTS, 2.0, method="dopri5", rtol=1e-10, atol=1e-11, engine="numpy"
    )


@pytest.mark.parametrize("method, order", [("euler", 1), ("rk4", 4)])
def test_orders_on_the_sphere(end_on_the_sphere, method, order):
    exact, steps = end_on_the_sphere, np.array([12, 24, 48])
    errors = [
        np.abs(
            ON_SPHERE.flow(
                TOKENS, WEIGHTS, 2.0, steps=int(k), method=method, domain=Sphere(3), engine="numpy"
            )
            - exact
        ).max()
        for k in steps
    ]
    slope = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.2)


def test_fields_are_asked_on_the_sphere_alone():
    seen = []

    def spin(points, weights, x):
        seen.append(np.abs(np.linalg.norm(x, axis=1) - 1).max())
        return np.stack([-x[:, 1], x[:, 0]], axis=1) + 5 * x  # the normal part does not count

    got, carried = integrate(
        spin, [[1.0, 0.0]], [1.0], 1.0, 1, "dopri5", [[0.0, 1.0]], domain=Sphere(2)
    )
    np.testing.assert_allclose(got, [[np.cos(1), np.sin(1)]], atol=1e-9)
    np.testing.assert_allclose(carried, [[-np.sin(1), np.cos(1)]], atol=1e-9)
    assert max(seen) < 5e-16


def test_a_product_with_a_sphere():
    def field(points, weights, x):
        spin = np.stack([-x[:, 2], x[:, 1]], axis=1)
        return np.concatenate([x[:, :1], spin], axis=1)

    start = np.array([[1.0, 1.0, 0.0], [2.0, 0.0, 1.0]])
    domain = Product(Box([-9.0], [9.0]), Sphere(2))
    got = integrate(field, start, None, 1.0, 50, domain=domain)
    np.testing.assert_allclose(got[:, 0], np.e * start[:, 0], rtol=1e-8)
    np.testing.assert_allclose(got[0, 1:], [np.cos(1), np.sin(1)], atol=1e-8)
    assert np.abs(np.linalg.norm(got[:, 1:], axis=1) - 1).max() < 5e-16


# ---- states between steps, progress, checkpoints


@pytest.mark.parametrize("rtol", [1e-5, 1e-8])
def test_dense_states_keep_the_tolerance(rtol):
    calls = []

    def counted(points, weights, x):
        calls.append(1)
        return weights @ points - x

    times = np.linspace(0, 2, 101)
    path = integrate(counted, POINTS, WEIGHTS, 2.0, 1, "dopri5", times=times, rtol=rtol, atol=rtol)
    exact = np.stack([consensus_exactly(POINTS, WEIGHTS, t) for t in times])
    assert np.abs(path - exact).max() < 20 * rtol
    assert len(calls) < 200  # far fewer than six for each time


@pytest.mark.parametrize("time", [2.0, -2.0])
def test_states_at_times_of_ones_own(time):
    times = np.array([0.0, 0.05, 0.7, 0.7, 1.0]) * time
    for method, tol in (("rk4", 1e-6), ("euler", 2.0), ("dopri5", 1e-7)):
        path = CONSENSUS.flow(
            POINTS, WEIGHTS, time, steps=40, method=method, times=times, engine="numpy"
        )
        exact = np.stack([consensus_exactly(POINTS, WEIGHTS, t) for t in times])
        assert path.shape == (5, 6, 2)
        np.testing.assert_allclose(path, exact, atol=tol)
    # As many times as equal steps would have, and not those.
    odd = CONSENSUS.flow(POINTS, WEIGHTS, 1.0, steps=2, times=[0.0, 0.1, 1.0])
    np.testing.assert_allclose(odd[1], consensus_exactly(POINTS, WEIGHTS, 0.1), atol=1e-6)


class Stop(Exception):
    pass


@pytest.mark.parametrize("method", ["rk4", "euler", "dopri5"])
@pytest.mark.parametrize("trajectory", [False, True])
def test_a_restart_gives_the_same_bits(method, trajectory, tmp_path):
    options = {"steps": 12, "method": method, "x": POINTS[:2], "trajectory": trajectory}
    whole = ATTENTION.flow(POINTS, WEIGHTS, 1.0, **options)
    shares = []

    def interrupt(share):
        shares.append(share)
        if len(shares) == 5:
            raise Stop

    place = tmp_path / "flow.npz"
    with pytest.raises(Stop):
        ATTENTION.flow(POINTS, WEIGHTS, 1.0, **options, checkpoint=place, progress=interrupt)
    assert place.exists() and 0 < shares[-1] < 1 and shares == sorted(shares)
    rest = []
    again = ATTENTION.flow(POINTS, WEIGHTS, 1.0, **options, checkpoint=place, progress=rest.append)
    assert rest[0] > shares[-1] and rest[-1] == 1.0
    for got, want in zip(again, whole, strict=True):
        np.testing.assert_array_equal(got, want)
    # A finished flow is read back without a call of the field.
    done = ATTENTION.flow(POINTS, WEIGHTS, 1.0, **options, checkpoint=place, progress=rest.append)
    assert rest[-1] == 1.0 and len(rest) < 30
    np.testing.assert_array_equal(done[0], whole[0])
    assert list(tmp_path.iterdir()) == [place]


def test_checkpoints_of_other_flows_are_refused(tmp_path):
    place = tmp_path / "flow.npz"
    ATTENTION.flow(POINTS, WEIGHTS, 1.0, checkpoint=place)
    other = SOFTMAX.bind(A=np.eye(2), V=np.eye(2))
    for call in (
        lambda: other.flow(POINTS, WEIGHTS, 1.0, checkpoint=place),
        lambda: ATTENTION.flow(POINTS, WEIGHTS, 2.0, checkpoint=place),
        lambda: ATTENTION.flow(POINTS + 1e-16, WEIGHTS[::-1], 1.0, checkpoint=place),
    ):
        with pytest.raises(ValueError, match="another flow"):
            call()
    place.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="expected a checkpoint"):
        ATTENTION.flow(POINTS, WEIGHTS, 1.0, checkpoint=place)


# ---- what is integrated along

PASSIVE, PROBES = RNG.normal(size=(3, 2)), RNG.normal(size=(2, 2))
PUSH = RNG.normal(size=(9, 2))
CLOSELY = {"method": "rk4", "steps": 20, "engine": "numpy"}


@pytest.fixture(scope="module")
def along():
    return ATTENTION.flow_derivatives(POINTS, WEIGHTS, 1.0, x=PASSIVE, z=PROBES, displacement=PUSH)


def test_the_jacobian_and_the_volume(along):
    h = 1e-5
    shifted = [
        ATTENTION.flow(POINTS, WEIGHTS, 1.0, x=PASSIVE + s * h * np.eye(2)[i], **CLOSELY)[1]
        for i in range(2)
        for s in (1, -1)
    ]
    differences = np.stack(
        [(shifted[0] - shifted[1]) / (2 * h), (shifted[2] - shifted[3]) / (2 * h)], axis=2
    )
    np.testing.assert_allclose(along.jacobian[6:], differences, atol=1e-8)
    np.testing.assert_allclose(np.linalg.slogdet(along.jacobian)[1], along.log_volume, atol=1e-9)
    np.testing.assert_allclose(along.log_density(np.zeros(9)), -along.log_volume)


def test_the_linearised_flow(along):
    h = 1e-5
    there, back = (
        np.concatenate(
            ATTENTION.flow(
                POINTS + s * h * PUSH[:6], WEIGHTS, 1.0, x=PASSIVE + s * h * PUSH[6:], **CLOSELY
            )
        )
        for s in (1, -1)
    )
    np.testing.assert_allclose(along.displacement, (there - back) / (2 * h), atol=1e-6)


def test_the_derivative_of_the_flow_in_the_measure(along):
    def with_mass(c, z):
        end, carried = ATTENTION.flow(
            np.vstack([POINTS, z]), np.append(WEIGHTS, c), 1.0, x=PASSIVE, **CLOSELY
        )
        return np.concatenate([end[:6], carried])

    h = 1e-4
    for k, z in enumerate(PROBES):
        f0, f1, f2 = (with_mass(c, z) for c in (0.0, h, 2 * h))
        one_sided = (4 * f1 - 3 * f0 - f2) / (2 * h)
        np.testing.assert_allclose(along.in_measure[:, k], one_sided, atol=1e-6)


@pytest.mark.parametrize("method, tol", [("euler", 1e-1), ("rk4", 1e-6)])
def test_derivatives_by_every_method(along, method, tol):
    got = ATTENTION.flow_derivatives(
        POINTS, WEIGHTS, 1.0, method=method, steps=16, z=PROBES, engine="numpy"
    )
    np.testing.assert_allclose(got.in_measure, along.in_measure[:6], atol=tol)
    np.testing.assert_allclose(got.jacobian, along.jacobian[:6], atol=tol)
    assert got.x is None and got.displacement is None


def test_volumes_on_the_sphere():
    got = ON_SPHERE.flow_derivatives(
        TOKENS, WEIGHTS, 1.0, domain=Sphere(3), method="rk4", steps=24, engine="numpy"
    )
    for i in range(6):
        before, after = (np.linalg.svd(at[None])[2][1:].T for at in (TOKENS[i], got.points[i]))
        volume = np.linalg.slogdet(after.T @ got.jacobian[i] @ before)[1]
        assert got.log_volume[i] == pytest.approx(volume, abs=1e-5)


def test_densities_of_fields_that_depend_on_time():
    field = VelocityField(c * t * x, x, mu, time=t).bind(c=2.0)
    got = field.flow_derivatives([[1.0]], [1.0], 1.5)
    assert got.log_volume.item() == pytest.approx(1.5**2, abs=1e-8)
    assert got.points.item() == pytest.approx(np.exp(1.5**2), rel=1e-8)


def explosion(points, weights, x):
    return x**2 * 10


BAD_CALLS = [
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, np.inf), "finite time"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, steps=0), ">= 1"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, steps=2.5), "integer"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, method="leapfrog"), "'leapfrog'"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, method="dopri5", rtol=-1), "tolerances"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, x=[[1.0]]), "(m, 2)"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS[:3], 1.0), "(6,)"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, engine="abacus"), "abacus"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, domain=Sphere(3)), "dimension 3"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, domain="sphere"), "Sphere(3)"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, times=[0.5, 0.2]), "in order"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, times=[]), "none"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, times=[2.0]), "between 0 and 1"),
    (lambda: CONSENSUS.flow(POINTS, WEIGHTS, 1.0, times=[1.0], trajectory=True), "both"),
    (lambda: CONSENSUS.flow_derivatives(POINTS, WEIGHTS, 1.0, z=[[1.0]]), "z of shape"),
    (lambda: CONSENSUS.flow_derivatives(POINTS, WEIGHTS, 1.0, displacement=POINTS[:2]), "(6, 2)"),
    (lambda: flow_derivatives(explosion, POINTS, WEIGHTS, 1.0), "plain function"),
    (lambda: integrate(lambda p, w, x: x[0], POINTS, WEIGHTS, 1.0), "velocities of shape (6, 2)"),
    (lambda: integrate(explosion, [[1.0]], [1.0], 2.0, 1000), "range"),
    (lambda: integrate(explosion, [[1.0]], [1.0], 2.0, 10, "dopri5", rtol=1e-2), "range"),
]


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
@pytest.mark.parametrize("call, words", BAD_CALLS)
def test_bad_calls_are_refused_in_one_sentence(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert words in message and "\n" not in message and len(message) < 400
