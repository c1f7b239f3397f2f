"""Measures checked many at a time: the same answers as one by one."""

import numpy as np
import pytest
import sympy as sp

import pushforward as pf
from pushforward.symbolic import Measure, Point, SymbolicMap, component, dot, gibbs, integral, norm
from pushforward.verify.candidates import Symbolic
from pushforward.verify.continuity import check_continuous
from pushforward.verify.curves import Bundle, zoom
from pushforward.verify.distance import gap, gaps, in_order, moved
from pushforward.verify.gauges import Distances, Labels, Moves
from pushforward.verify.labels import labels, labels_of
from pushforward.verify.noise import Noise
from pushforward.verify.paths import crossings
from pushforward.verify.recipes import EDITS, LAWS, Recipe
from pushforward.verify.rewritings import ways
from pushforward.verify.subject import Clock, Subject, Undefined
from pushforward.verify.trials import MOST_ATOMS, affordable_sizes
from pushforward.verify.well_defined import check_well_defined

x, y, mu = Point("x"), Point("y"), Measure("mu")
BALL = pf.Ball(2)
ATTENTION = Symbolic(SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind(), BALL)


def measures(count, atoms, seed=0):
    return Recipe(atoms, seed, weights="generic").stack(BALL, count)


def test_many_measures_have_the_images_of_each():
    points, weights = measures(20, 5)
    weights[3, 1] = weights[7, 4] = 0.0
    queries = points[:, :3] / 2
    subject = Subject(ATTENTION)
    many = subject.query_stack(points, weights, queries)
    one = [subject.query(*item) for item in zip(points, weights, queries, strict=True)]
    assert np.array_equal(many, one) and subject.calls == 40


def test_what_is_not_finite_is_found_among_many():
    mean = integral(y, y, Measure("mu"))
    subject = Subject(Symbolic(SymbolicMap(x + mean / norm(mean), x, mu).bind(), BALL))
    points, weights = measures(20, 2)
    points[13, 1], weights[13] = -points[13, 0], 0.5
    with pytest.raises(Undefined) as found:
        subject.push_rows(points, weights)
    assert np.array_equal(found.value.atoms[0], points[13])


@pytest.mark.parametrize("law", LAWS)
def test_a_stack_of_a_recipe_lies_in_the_domain(law):
    recipe = Recipe(4, 3, law, "heavy", EDITS)
    points, weights = recipe.stack(BALL, 50)
    assert points.shape == (50, 16, 2) and BALL.contains(points.reshape(-1, 2)).all()
    assert np.allclose(weights.sum(axis=1), 1) and (weights >= 0).all()
    assert len(np.unique(points[:, 0], axis=0)) > (1 if law in ("anchors", "lattice") else 40)


def test_distances_without_a_certificate_are_those_with_one():
    rng = np.random.default_rng(1)
    for atoms in (2, 3, 5, 40):
        (p, q), (a, b) = measures(2, atoms, seed=atoms)
        a[rng.integers(atoms)] = 0.0
        a /= a.sum()
        for scale in (1e-9, 1.0, 1e9):
            first, second = (scale * p, a), (scale * q, b)
            exact = float(pf.wasserstein(*(pf.DiscreteMeasure(*m) for m in (first, second))))
            assert gap(first, second) == pytest.approx(exact, rel=1e-9)
            assert moved(first, second) >= exact * (1 - 1e-12)


def test_moves_of_a_stack_are_those_of_its_measures():
    first, second = measures(9, 4, seed=1), measures(9, 4, seed=2)
    pairs = zip(zip(*first, strict=True), zip(*second, strict=True), strict=True)
    alone = [moved(a, b) for a, b in pairs]
    np.testing.assert_allclose(moved(first, second), alone, rtol=1e-14)


@pytest.mark.parametrize("gauge", [Distances(0.0), Moves()])
def test_responses_that_cannot_be_read_are_no_rises(gauge):
    image, other = ((np.full((1, 2), t), np.ones(1)) for t in (0.0, 1.0))
    triples = [(image, None, other), (None, other, image), (image, image, other)]
    lost, first, whole = gauge.splits(triples, [0.5, 0.5, 0.5])
    assert lost[:2] == (0.0, 0.0) and np.isnan(lost[2])
    assert first == (0.0, pytest.approx(np.sqrt(2)), np.inf)
    assert whole[:2] == (0.0, pytest.approx(np.sqrt(2)))
    assert gauge.bends(triples, [0.5, 0.5, 0.5])[:2] == [-1.0, -1.0]


def test_a_bend_is_the_distance_from_the_line():
    line = [np.array([[t, t**2]]) for t in (0.0, 0.25, 1.0)]
    ((_, _, bent),) = Labels().splits([tuple(line)], [0.25])
    assert bent == pytest.approx(0.25 - 0.25**2)


def test_paths_followed_side_by_side_are_those_followed_alone():
    subject = Subject(pf.InContextMap(lambda p, w, x: x + (w @ p > 0.1), BALL))
    stream = crossings(BALL, 0, lists=False)
    segments = [next(stream) for _ in range(6)]

    def followed(some):
        bundle = Bundle(some)

        def respond(which, ts):
            points, weights = bundle.at(which, ts)
            return list(zip(subject.push_rows(points, weights), weights, strict=True))

        bends = [segment.kind != "one atom" for segment in some]
        return zoom(respond, Moves(), bends, calls=64, floor=1e-9, clock=Clock(60.0))

    together = followed(segments)
    assert any(found is not None and found.bottom for found in together)
    for segment, found in zip(segments, together, strict=True):
        (alone,) = followed([segment])
        assert (found is None) == (alone is None)
        assert found is None or found.intervals == alone.intervals


@pytest.mark.parametrize("check", [check_well_defined, check_continuous])
def test_a_compiled_map_is_checked_like_a_function(check):
    """A step of the mean, written as a formula and as a function."""
    mean = integral(y, y, Measure("mu", probability=True))
    step = sp.Piecewise((1, component(mean, 0) > sp.Rational(1, 5)), (0, True))
    mu_1 = Measure("mu", probability=True)
    formula = Symbolic(SymbolicMap(x + step * mean, x, mu_1).bind(), BALL)
    function = pf.InContextMap(lambda p, w, q: q + ((w @ p)[0] > 0.2) * (w @ p), BALL)
    noise = Noise(1e-15, 1.0, 2.0, "float64")
    found = []
    for candidate in (formula, function):
        subject, clock = Subject(candidate), Clock(60.0)
        if check is check_continuous:
            found.append(check(subject, noise, 0, clock, clock).violation.operation)
        else:
            outcome = check(subject, noise, (1, 2, 3, 8, 32), 0, Clock(0.5), clock)
            found.append(outcome.violation)
            assert outcome.drawn >= 1
    assert found in (["jump", "jump"], [None, None])


def test_many_gaps_are_those_of_each_pair():
    rng = np.random.default_rng(3)

    def drawn():
        points, weights = rng.normal(size=(rng.integers(1, 9), 2)), None
        weights = rng.uniform(size=len(points)) * (rng.uniform(size=len(points)) > 0.2)
        weights[0] += 0.5
        return points, weights / (weights.sum() if rng.uniform() < 0.7 else 1.0)

    first, second = [drawn() for _ in range(40)], [drawn() for _ in range(40)]
    second[::4] = [(points + 1e-9, weights) for points, weights in first[::4]]
    alone = [gap(a, b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(gaps(first, second), alone, rtol=1e-9, atol=1e-15)
    bounds = in_order(first, second)
    assert (bounds >= np.array(alone) - 1e-12).all() and np.isinf(bounds).any()


def test_measures_written_in_other_ways_are_near_along_a_line():
    points, weights = measures(1, 40)
    (image,), (masses,) = points, weights
    every = ways(40, 5, lists=False)
    written = every.parts(every.written((points, weights), BALL))
    others = [(places[0], shares[0]) for places, shares in written]
    assert in_order([(image, masses)] * len(others), others).max() < 1e-13
    assert [np.array_equal(p, image) for p, _ in others] == [True, False, False, False, False]
    assert others[-1][1][0] == 0 and BALL.contains(others[-1][0]).all()


@pytest.mark.parametrize("change", ["none", "merged", "reweighted"])
def test_tags_are_read_off_many_images_as_off_each(change):
    """Matched by sorting, or decoded where atoms merge or a weight is a little off."""

    def fn(points, weights):
        images = np.sin(3 * points)[::-1]
        if change == "merged":
            images[-2] = images[-1]  # atom 1 where atom 0 is
        masses = weights[::-1].copy()
        masses[-1] *= 1 + 1e-7 if change == "reweighted" else 1.0
        return images, masses

    subject, noise = Subject(pf.MeasureMap(fn, BALL)), Noise(1e-15, 1.0, 2.0, "float64")
    points, weights = measures(6, 4)
    weights = np.column_stack([0.9 * weights, np.full(6, 1e-200), np.full(6, 2.3e-200)])
    points = np.concatenate([points, points[:, :2] / 3], axis=1)
    for follow in ((0, 3, 5), (4, 5)):
        found = labels_of(subject, noise, (points, weights), np.array([follow]))
        for atoms, images in zip(zip(points, weights, strict=True), found, strict=True):
            alone = labels(subject, noise, atoms, follow)
            assert images is not None and np.array_equal(images, alone)
            np.testing.assert_allclose(images, np.sin(3 * atoms[0])[list(follow)], rtol=1e-14)


def test_a_quick_function_is_followed_side_by_side_and_a_slow_one_alone():
    subject = Subject(pf.InContextMap(lambda p, w, x: x, BALL))
    subject.calls, subject.seconds = 1000, 1.0
    assert subject.abreast(64, Clock(30.0), 24) == 23
    assert subject.abreast(64, Clock(1.0), 24) == 1
    assert Subject(ATTENTION).abreast(64, Clock(0.0), 24) == 24


def test_a_function_is_asked_for_many_images_as_for_each():
    """Also one that keeps and changes its array, and one that fails somewhere."""
    kept = np.zeros((3, 2))

    def fn(points, weights, x):
        np.add(x, weights @ points, out=kept)
        return kept if points[0, 0] < 0.5 else kept / 0

    points, weights = measures(30, 3, seed=4)
    points[:, 0] = -np.abs(points[:, 0])
    subject = Subject(pf.InContextMap(fn, BALL))
    asked = list(zip(points, weights, points, strict=True))
    assert np.array_equal(subject.query_each(asked), [subject.query(*item) for item in asked])
    assert subject.calls == 60 and subject.dtypes == {"float64"}
    points[17, 0] = 0.75, 0.0
    with pytest.raises(Undefined) as found:
        subject.push_rows(points, weights)
    assert np.array_equal(found.value.atoms[0], points[17])


def test_images_of_too_many_atoms_are_not_asked_for():
    """Comparing them would take longer than all calls."""

    def pairs(points, weights):
        images = (points[:, None] + points[None]).reshape(-1, points.shape[1]) / 2
        return images, np.outer(weights, weights).ravel()

    sizes, failed = affordable_sizes(Subject(pf.MeasureMap(pairs, BALL)), Clock(1e6), 0)
    assert failed is None and sizes[-1] ** 2 == MOST_ATOMS
    alike = pf.MeasureMap(lambda points, weights: (points, weights), BALL)
    assert affordable_sizes(Subject(alike), Clock(1e6), 0)[0][-1] == 4096
