"""Shards are calls: the same bits on threads, devices and machines; what is finished is kept."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from registered_heads import G as REGISTERED, numbers
from term_recipes import MU, environment

from pushforward.numeric import Ensemble, engine_status, ensembles
from pushforward.numeric.engines import run
from pushforward.numeric.shards import Job, Threads
from pushforward.symbolic import Point, library as lib

D, N, M = 3, 40, 101
RNG = np.random.default_rng(5)
POINTS, WEIGHTS, QUERIES = (
    RNG.normal(size=(N, D)),
    RNG.dirichlet(np.ones(N)),
    RNG.normal(size=(M, D)),
)
ATTENTION = lib.softmax_attention(residual=True)
VALUES = {"A": RNG.normal(size=(D, D)), "V": RNG.normal(size=(D, D))}
BOUND = ATTENTION.bind(**VALUES)
FIELD = lib.consensus().bind()
NATIVE = pytest.param(
    "native", marks=pytest.mark.skipif(bool(engine_status()["native"]), reason="no compiler")
)


@pytest.mark.parametrize("engine", ["reference", "numpy", NATIVE])
@pytest.mark.parametrize("rows", [1, 7, 64, 500])
def test_shards_are_calls(engine, rows):
    got = Ensemble(BOUND, rows=rows, engine=engine, workers=3)(POINTS, WEIGHTS, QUERIES)
    shards = [QUERIES[k : k + rows] for k in range(0, M, rows)]
    calls = [BOUND(POINTS, WEIGHTS, x, engine=engine) for x in shards]
    np.testing.assert_array_equal(got, np.concatenate(calls))
    one = Ensemble(BOUND, rows=rows, engine=engine, workers=1)(POINTS, WEIGHTS, QUERIES)
    np.testing.assert_array_equal(got, one)


def test_prepared_maps_stay_prepared(monkeypatch):
    seen = []
    monkeypatch.setattr(ensembles, "run", lambda e, r, eager: seen.append(eager) or run(e, r))
    Ensemble(BOUND.prepared())(POINTS, WEIGHTS, QUERIES)
    Ensemble(FIELD.prepared()).flow(POINTS, WEIGHTS, 0.1, steps=1, method="euler")
    Ensemble(BOUND)(POINTS, WEIGHTS, QUERIES)
    assert seen == [True, True, False]


def test_further_points_and_types():
    z = Point("z")
    lions = ATTENTION.lions_derivative(z).bind(**VALUES)
    ensemble = Ensemble(lions, rows=30, dtype="float32")
    got = ensemble(POINTS, WEIGHTS, QUERIES, z=POINTS[:2])
    assert got.shape == (M, 2, D, D) and got.dtype == np.float32
    want = lions(POINTS, WEIGHTS, QUERIES, z=POINTS[:2])
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-5)
    assert Ensemble(BOUND)(POINTS, WEIGHTS, np.zeros((0, D))).shape == (0, D)


@pytest.mark.parametrize("rows", [3, 64])
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_flows_in_shards(method, rows):
    shares = []
    swarm = Ensemble(FIELD, rows=rows, engine="reference", progress=shares.append)
    options = {"steps": 5, "method": method, "x": QUERIES[:9], "trajectory": True}
    got = swarm.flow(POINTS, WEIGHTS, 0.5, **options)
    want = FIELD.flow(POINTS, WEIGHTS, 0.5, engine="reference", **options)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    assert shares and shares == sorted(shares) and shares[-1] == 1  # of the flow, not of its shards


class Interrupting:
    """Progress that is interrupted once."""

    def __init__(self, at, error=KeyboardInterrupt):
        self.at, self.error, self.shares = at, error, []

    def __call__(self, share):
        self.shares.append(share)
        if len(self.shares) == self.at:
            raise self.error


def test_an_interruption_keeps_what_is_finished():
    """A real signal, while the main thread waits."""
    calls = []

    def task(common, piece):
        calls.append(piece)
        time.sleep(0.02 if piece <= 5 else 0.2)  # the main thread may be slow to notice
        if piece == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return common * piece

    job = Job(task, 2, range(20), Threads(2))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            job.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert 4 <= job.finished < 20
    done = job.finished
    later = Interrupting(None)
    assert job.run(later) == [2 * k for k in range(20)]
    assert sorted(calls) == list(range(20))  # nothing twice
    assert len(later.shares) == 20 - done and later.shares[-1] == 1


def test_an_evaluation_goes_on(monkeypatch):
    slowly = lambda *call: time.sleep(0.02) or run(*call)  # noqa: E731
    monkeypatch.setattr(ensembles, "run", slowly)
    evaluation = Ensemble(BOUND, rows=10, workers=1).start(POINTS, WEIGHTS, QUERIES)
    assert (evaluation.finished, evaluation.total) == (0, 11)
    with pytest.raises(KeyboardInterrupt):
        evaluation.run(Interrupting(4))
    assert 4 <= evaluation.finished < 11
    got = evaluation.run()
    assert evaluation.finished == 11
    np.testing.assert_array_equal(got, Ensemble(BOUND, rows=10)(POINTS, WEIGHTS, QUERIES))


def test_a_task_that_fails_keeps_the_others():
    def task(broken, piece):
        if piece in broken:
            raise ValueError(f"no {piece}")
        return piece

    broken = {3}
    job = Job(task, broken, range(6), Threads(1))
    with pytest.raises(ValueError, match="no 3"):
        job.run()
    assert 3 <= job.finished < 6
    broken.clear()
    assert job.run() == list(range(6))


def test_threads_share_the_work():
    """As many pieces at a time as there are workers: each waits for the other."""
    barrier = threading.Barrier(2, timeout=20)
    job = Job(lambda _, piece: barrier.wait() * 0 + piece, None, range(4), Threads(2))
    assert job.run() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"rows": 0}, ValueError, "expected rows, an integer >= 1, got 0"),
        ({"workers": 1.5}, ValueError, "expected workers"),
        ({"client": object()}, TypeError, "expected a dask.distributed client, got object"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=message):
        Ensemble(BOUND, **options)


def test_bad_calls():
    with pytest.raises(TypeError, match="expected a velocity field for a flow, got a map"):
        Ensemble(BOUND).flow(POINTS, WEIGHTS, 1.0)
    with pytest.raises(TypeError, match="expected a bound map or field, got SymbolicMap"):
        Ensemble(ATTENTION)
    with pytest.raises(ValueError, match="expected an engine of"):
        Ensemble(BOUND, engine="abacus")(POINTS, WEIGHTS, QUERIES)


DEVICES = """
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
from pushforward.numeric import Ensemble
from pushforward.symbolic import library as lib
rng = np.random.default_rng(0)
points, x = rng.normal(size=(9, 2)), rng.normal(size=(30, 2))
bound = lib.softmax_attention().bind(A=np.eye(2), V=np.eye(2))
devices, home = jax.devices(), jax.devices()[1]
assert len(devices) == 3
used = set()
import pushforward.numeric.ensembles as ensembles
run = ensembles.run
def watched(engine, request, eager):
    used.add(request.like.device)
    assert all(a.device == request.like.device for a in request.inputs.measures["mu"])
    return run(engine, request, eager)
ensembles.run = watched
made = [jax.device_put(a, home) for a in (points, x)]
got = Ensemble(bound, rows=4)(made[0], None, made[1])
assert used == set(devices), used
assert got.device == home
np.testing.assert_allclose(np.asarray(got), bound(points, None, x), rtol=1e-12)
"""


@pytest.mark.slow
def test_devices_of_one_machine():
    """Three devices that JAX makes of the processor: all are used, the values come home."""
    pytest.importorskip("jax")
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", DEVICES], check=True, env={**os.environ, **flags})


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["numpy", NATIVE])
def test_machines_give_the_same_bits(client, engine):
    got = Ensemble(BOUND, client=client, rows=8, engine=engine)(POINTS, WEIGHTS, QUERIES)
    want = Ensemble(BOUND, rows=8, engine=engine)(POINTS, WEIGHTS, QUERIES)
    np.testing.assert_array_equal(got, want)


@pytest.mark.slow
def test_flows_on_machines(client):
    options = {"rows": 16, "engine": "numpy"}
    got = Ensemble(FIELD, client=client, **options).flow(POINTS, WEIGHTS, 0.5, steps=2)
    np.testing.assert_array_equal(
        got, Ensemble(FIELD, **options).flow(POINTS, WEIGHTS, 0.5, steps=2)
    )


class Killing(Interrupting):
    """Progress that kills a worker process once, with no chance to hand anything over."""

    def __init__(self, client, at):
        super().__init__(at)
        self.client = client

    def __call__(self, share):
        self.shares.append(share)
        if len(self.shares) == self.at:
            os.kill(list(self.client.run(os.getpid).values())[0], signal.SIGKILL)


@pytest.mark.slow
def test_a_lost_worker_loses_nothing(client):
    killing = Killing(client, at=20)
    ensemble = Ensemble(BOUND, client=client, rows=1, engine="numpy", progress=killing)
    got = ensemble(POINTS, WEIGHTS, QUERIES)
    np.testing.assert_array_equal(
        got, Ensemble(BOUND, rows=1, engine="numpy")(POINTS, WEIGHTS, QUERIES)
    )
    assert len(killing.shares) == M and killing.shares[-1] == 1


@pytest.mark.slow
def test_all_workers_lost_at_once(client):
    """What was sent to the workers is gone with them, and is sent again."""

    class KillingAll(Killing):
        def __call__(self, share):
            self.shares.append(share)
            if len(self.shares) == self.at:
                for process in self.client.run(os.getpid).values():
                    os.kill(process, signal.SIGKILL)

    client.wait_for_workers(2, timeout=60)
    ensemble = Ensemble(BOUND, client=client, rows=1, progress=KillingAll(client, 20))
    got = ensemble(POINTS, WEIGHTS, QUERIES)
    np.testing.assert_array_equal(got, Ensemble(BOUND, rows=1)(POINTS, WEIGHTS, QUERIES))


@pytest.mark.slow
def test_an_interruption_on_machines(client):
    evaluation = Ensemble(BOUND, client=client, rows=5, engine="numpy").start(
        POINTS, WEIGHTS, QUERIES
    )
    with pytest.raises(KeyboardInterrupt):
        evaluation.run(Interrupting(3))
    assert evaluation.finished == 3
    later = Interrupting(None)
    got = evaluation.run(later)
    assert len(later.shares) == evaluation.total - 3
    want = Ensemble(BOUND, rows=5, engine="numpy")(POINTS, WEIGHTS, QUERIES)
    np.testing.assert_array_equal(got, want)


@pytest.mark.slow
def test_a_wrong_call_is_told_at_once(client):
    with pytest.raises(ValueError, match="expected an engine of"):
        Ensemble(BOUND, client=client, engine="abacus")(POINTS, WEIGHTS, QUERIES)


@pytest.mark.slow
def test_registered_functions_travel(client):
    """The workers never ran the `register` of this process."""
    env = environment(1)
    bound = REGISTERED.bind(**numbers(env))
    x = RNG.normal(size=(20, 2))
    got = Ensemble(bound, client=client, rows=5, engine="numpy")(*env[MU], x)
    np.testing.assert_array_equal(got, Ensemble(bound, rows=5, engine="numpy")(*env[MU], x))


def test_requests_travel():
    request = BOUND.request(POINTS, WEIGHTS, QUERIES, None, {})
    again = pickle.loads(pickle.dumps(request))
    assert again.program == request.program and again.program.digest == request.program.digest
