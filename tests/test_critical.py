"""Singular measures of a few atoms are closed in on, and smoothed ones are not refuted."""

from functools import partial

import numpy as np
import pytest
from borderline import LINE, SQUARE, swinging_at_two

import pushforward as pf
from pushforward.verify.catalogue import CATALOGUE
from pushforward.verify.climb import climb, steeper_elsewhere
from pushforward.verify.critical import Kind, _approach, closing
from pushforward.verify.noise import measure_noise
from pushforward.verify.subject import Clock, Subject

ENDLESS = 1e6  # seconds: these searches end by themselves


def closed_in(candidate, kind, seed):
    """The counterexample's measures, or None; a function of the seed alone."""
    subject = Subject(candidate)
    noise = measure_noise(subject, 0, Clock(ENDLESS))
    rng = np.random.default_rng(seed)
    violation, _ = closing(subject, noise, rng, Clock(ENDLESS), kind)
    return None if violation is None else violation.measures


def swinging_at_moments(weights, places):
    """Swings in the log of the distance of some moments from those of a measure."""
    waves = np.random.default_rng(1).normal(size=(places.shape[1], 8)) / 0.7

    def moments(points):
        return np.concatenate([np.cos(points @ waves), np.sin(points @ waves)], axis=1)

    centre = weights @ moments(places)

    def fn(p, w, x):
        size = np.linalg.norm(w / w.sum() @ moments(p) - centre)
        return np.tanh(2 * x) + 0.1 * (np.sin(np.log(size)) if size > 0 else 0.0) * np.cos(x + 1)

    return fn


def test_two_equal_atoms_are_closed_in_on():
    candidate = pf.InContextMap(swinging_at_two, LINE)
    found = [closed_in(candidate, Kind(2, "equal"), seed) for seed in (0, 1)]
    places = [points[:2, 0] for measures in found if measures for points, _ in measures]
    assert places
    for place in places:
        assert np.abs(np.sort(place) - [-0.5, 0.4]).max() < 1e-9


@pytest.mark.slow
def test_two_atoms_of_unknown_weights_in_the_plane_are_closed_in_on():
    weights, places = np.array([0.36, 0.64]), np.array([[0.0, 0.55], [-0.18, -0.33]])
    candidate = pf.InContextMap(swinging_at_moments(weights, places), SQUARE)
    found = [closed_in(candidate, Kind(2, "free"), seed) for seed in range(3)]
    measures = [measure for pair in found if pair for measure in pair]
    assert measures
    for points, masses in measures:
        order = np.argsort(-points[:2, 0])
        assert np.abs(points[:2][order] - places).max() < 1e-9
        assert np.abs(masses[:2][order] / masses[:2].sum() - weights).max() < 1e-9


@pytest.mark.slow
def test_a_smoothed_swing_at_two_atoms_is_not_refuted():
    candidate = pf.InContextMap(partial(swinging_at_two, floor=1e-6), LINE)
    assert all(closed_in(candidate, Kind(2, "equal"), seed) is None for seed in range(3))


def swing_of_the_mean(floor):
    """Swings in the log of the distance of the mean from a place, down to a floor."""

    def fn(p, w, x):
        size = np.linalg.norm(w @ p / w.sum() - [0.1, -0.2, 0.15])
        return np.tanh(3 * x) + 0.2 * np.sin(2 * np.log(max(size, floor))) * np.cos(x + 1)

    return pf.InContextMap(fn, pf.Ball(3))


def last_stage(candidate, atoms, seed):
    """The last stage of a climb, if it looks like an approach, with what was climbed."""
    subject = Subject(candidate)
    noise = measure_noise(subject, seed, Clock(ENDLESS))
    found = climb(subject, noise, atoms, seed, Clock(ENDLESS))
    return subject, noise, found.stages[-1] if _approach(found, noise) is not None else None


@pytest.mark.parametrize(
    "floor", [1e-7, *(pytest.param(floor, marks=pytest.mark.slow) for floor in (1e-6, 1e-8))]
)
def test_swings_of_the_mean_are_steeper_elsewhere(floor):
    """Of these climbs some look like approaches, which only their number of atoms has stopped."""
    seen = 0
    for seed in range(4):
        subject, noise, stage = last_stage(swing_of_the_mean(floor), 6, seed)
        if stage is not None:
            seen += 1
            rng = np.random.default_rng(seed)
            assert steeper_elsewhere(subject, noise, stage, rng, Clock(ENDLESS))
    assert seen


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("atoms", [6, 2])
def test_nothing_is_steeper_near_a_critical_measure_without_atoms(atoms, seed):
    subject, noise, stage = last_stage(CATALOGUE["e-tri"].build(), atoms, seed)
    assert stage is not None
    for draw in range(2):
        rng = np.random.default_rng(draw)
        assert not steeper_elsewhere(subject, noise, stage, rng, Clock(ENDLESS))
