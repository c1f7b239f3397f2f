"""A discrete measure holds what it was given and refuses what is no measure."""

import pickle

import numpy as np
import pytest

from pushforward import DiscreteMeasure

POINTS = np.array([[0.0, 1.0], [2.0, 3.0], [2.0, 3.0]])

BAD = [
    # points, weights, error, words of the message
    ([[np.nan, 0.0]], None, ValueError, "finite points"),
    ([[np.inf, 0.0]], None, ValueError, "finite points"),
    (np.zeros((0, 2)), None, ValueError, "at least one atom"),
    (np.zeros((2, 0)), None, ValueError, "one coordinate"),
    (np.zeros(3), None, ValueError, "points[:, None]"),
    (0.0, None, ValueError, "shape (n, d)"),
    (np.zeros((2, 2, 2)), None, ValueError, "(2, 2, 2)"),
    ([[0.0], [1.0, 2.0]], None, ValueError, "unequal length"),
    ([["a"]], None, TypeError, "real numbers"),
    (np.zeros((1, 1), dtype=complex), None, TypeError, "real numbers"),
    (None, None, TypeError, "real numbers"),
    (POINTS, [1.0, 1.0], ValueError, "(3,)"),
    (POINTS, [[1.0, 1.0, 1.0]], ValueError, "(3,)"),
    (POINTS, [1.0, -0.5, 1.0], ValueError, "-0.5"),
    (POINTS, [1.0, np.nan, 1.0], ValueError, "finite weights"),
    (POINTS, [1.0, np.inf, 1.0], ValueError, "finite weights"),
    (POINTS, [0.0, 0.0, 0.0], ValueError, "positive"),
    (POINTS, [1e308, 1e308, 1e308], ValueError, "finite sum"),
    (POINTS, "abc", TypeError, "real numbers"),
]


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("points, weights, error, words", BAD)
def test_bad_measures_are_refused_in_one_sentence(points, weights, error, words):
    with pytest.raises(error) as caught:
        DiscreteMeasure(points, weights)
    message = str(caught.value)
    assert words in message and "\n" not in message and len(message) < 200


def test_weights_are_kept_as_given():
    mu = DiscreteMeasure(POINTS, [3.0, 0.0, 1e-300])
    assert mu.weights.tolist() == [3.0, 0.0, 1e-300]
    assert mu.points.tolist() == POINTS.tolist()
    assert (mu.dim, mu.mass, len(mu)) == (2, 3.0, 3)


def test_no_weights_means_uniform():
    mu = DiscreteMeasure(POINTS.astype(np.float32))
    assert mu.weights.dtype == np.float32
    np.testing.assert_allclose(mu.weights, 1 / 3, rtol=1e-7)


def test_integers_become_floats_and_floats_keep_their_type():
    assert DiscreteMeasure([[1], [2]], [1, 2]).points.dtype == np.float64
    assert DiscreteMeasure(np.ones((1, 1), np.float32), [1]).points.dtype == np.float32


def test_it_does_not_follow_the_callers_array_and_cannot_be_written():
    points = POINTS.copy()
    mu = DiscreteMeasure(points)
    points[0] = 7.0
    assert mu.points[0].tolist() == [0.0, 1.0]
    with pytest.raises(ValueError):
        mu.points[0] = 1.0
    with pytest.raises(AttributeError):
        mu.weights = None


def test_equality_hash_and_pickle():
    mu, same = DiscreteMeasure(POINTS), DiscreteMeasure(POINTS.tolist())
    assert mu == same and hash(mu) == hash(same) and mu != "a measure"
    assert mu == pickle.loads(pickle.dumps(mu))
    assert mu != DiscreteMeasure(POINTS[::-1])
    assert mu != DiscreteMeasure(POINTS, [0.2, 0.4, 0.4])
    assert mu != DiscreteMeasure(POINTS[:2])


def test_the_repr_is_short_for_many_atoms():
    text = repr(DiscreteMeasure(np.zeros((1000, 50))))
    assert text.startswith("DiscreteMeasure(1000 atoms in R^50, mass 1: 0.001 at (0, 0, 0, 0, ...)")
    assert len(text) < 200


def test_torch_tensors_stay_torch_tensors():
    torch = pytest.importorskip("torch")
    points = torch.zeros((2, 3), dtype=torch.float32, requires_grad=True)
    mu = DiscreteMeasure(points)
    assert mu.points is points and isinstance(mu.weights, torch.Tensor)
    assert mu.weights.dtype == torch.float32 and mu.mass == 1.0
    assert mu == DiscreteMeasure(torch.zeros((2, 3)))
    assert isinstance(DiscreteMeasure(points, [0.5, 0.5]).weights, torch.Tensor)
    with pytest.raises(TypeError, match="one library, got numpy and torch"):
        DiscreteMeasure(points, np.ones(2))
