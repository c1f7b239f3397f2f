"""Trajectories of flows, kept in files."""

import numpy as np
import pytest

from pushforward.numeric import Trajectory
from pushforward.symbolic.library import consensus

FIELD = consensus().bind()
RNG = np.random.default_rng(0)
POINTS, WEIGHTS, PASSIVE = RNG.normal(size=(5, 2)), RNG.dirichlet(np.ones(5)), np.ones((2, 2))


def trajectory(dtype=float, **options):
    return Trajectory.of(
        FIELD, POINTS.astype(dtype), WEIGHTS, 0.7, steps=6, x=PASSIVE.astype(dtype),
        engine="numpy", **options,
    )  # fmt: skip


def assert_same(got, want):
    for name in ("times", "points", "weights", "x"):
        one, other = getattr(got, name), getattr(want, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.fixture(params=[".npz", ".zarr"])
def place(request, tmp_path):
    if request.param == ".zarr":
        pytest.importorskip("zarr")
    return tmp_path / f"path{request.param}"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_saved_is_loaded_with_all_bits(place, dtype):
    made = trajectory(dtype)
    assert made.save(str(place)) == place
    assert_same(Trajectory.load(place), made)
    alone = Trajectory.of(FIELD, POINTS, None, 0.7, times=[0.0, 0.4], engine="numpy")
    alone.save(place)
    assert_same(Trajectory.load(place), alone)
    assert alone.x is None and alone.weights.tolist() == [0.2] * 5
    assert list(place.parent.iterdir()) == [place]


def test_it_is_the_flow():
    made = trajectory()
    path, carried = FIELD.flow(
        POINTS, WEIGHTS, 0.7, steps=6, x=PASSIVE, trajectory=True, engine="numpy"
    )
    np.testing.assert_array_equal(made.points, path)
    np.testing.assert_array_equal(made.x, carried)
    np.testing.assert_allclose(made.times, np.linspace(0, 0.7, 7))
    np.testing.assert_array_equal(made.measure(-1).points, path[-1])
    assert len(made) == 7


class Stop(Exception):
    pass


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_an_interrupted_one_goes_on_to_the_same_bits(tmp_path, place, method):
    calls = []

    def interrupt(share):
        calls.append(share)
        if len(calls) == 3:
            raise Stop

    kept = tmp_path / "checkpoint.npz"
    with pytest.raises(Stop):
        trajectory(method=method, checkpoint=kept, progress=interrupt)
    trajectory(method=method, checkpoint=kept).save(place)
    assert_same(Trajectory.load(place), trajectory(method=method))


def test_other_files_are_refused(tmp_path, monkeypatch):
    made = trajectory()
    with pytest.raises(ValueError, match="ends in .npz or .zarr"):
        made.save(tmp_path / "path.txt")
    with pytest.raises(ValueError, match="there is nothing"):
        Trajectory.load(tmp_path / "missing.npz")
    (tmp_path / "torn.npz").write_bytes(made.save(tmp_path / "whole.npz").read_bytes()[:300])
    np.savez(tmp_path / "other.npz", points=POINTS)
    for name in ("torn.npz", "other.npz"):
        with pytest.raises(ValueError, match="got another file"):
            Trajectory.load(tmp_path / name)
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(ValueError, match=r"pushforward\[zarr\]"):
        made.save(tmp_path / "path.zarr")
    assert not (tmp_path / "path.zarr").exists()


def test_shapes_must_fit():
    with pytest.raises(ValueError, match=r"points \(k, n, d\)"):
        Trajectory(np.zeros(3), np.zeros((2, 4, 1)), np.zeros(4))
    with pytest.raises(ValueError, match="x of shape"):
        Trajectory(np.zeros(2), np.zeros((2, 4, 1)), np.zeros(4), np.zeros((3, 1, 1)))
