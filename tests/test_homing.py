"""Searches for singular places end there, give up on smooth responses, and tell slow moduli."""

import numpy as np
import pytest

import pushforward as pf
from pushforward.verify.gauges import Labels
from pushforward.verify.homing import Search, evolve, hop
from pushforward.verify.noise import Noise
from pushforward.verify.pinpoint import around, lasts
from pushforward.verify.subject import Clock

EXACT = Noise(0.0, 1.0, 1e-4, "float64")
ENDLESS = 1e6  # seconds: these searches end by themselves


def search_of(response, dim, atoms=1):
    def respond(places):
        return [np.atleast_2d(response(place)) for place in places]

    domain = pf.Box([-1.0] * dim, [1.0] * dim)
    return Search(respond, Labels(), domain, atoms, EXACT, Clock(ENDLESS))


def hidden(dim, atoms, seed):
    return np.random.default_rng([seed, 77]).uniform(-0.8, 0.8, size=(atoms, dim))


def swing(place, frequency):
    """Oscillates in the logarithm of the sum of the distances of all atoms from their places."""

    def response(at):
        size = np.linalg.norm(at - place, axis=1).sum()
        return np.sin(frequency * np.log(size)) if size > 0 else 0.0

    return response


def direction(place):
    def response(at):
        step = (at - place).ravel()
        return step / max(np.linalg.norm(step), 1e-300)

    return response


@pytest.mark.parametrize(
    "dim, atoms, frequency",
    [
        (1, 1, 10.0),
        (2, 1, 1.0),
        pytest.param(2, 1, 10.0, marks=pytest.mark.slow),
        pytest.param(1, 2, 1.0, marks=pytest.mark.slow),
        pytest.param(1, 2, 10.0, marks=pytest.mark.slow),
    ],
)
def test_evolution_ends_where_a_response_swings(dim, atoms, frequency):
    place = hidden(dim, atoms, 0)
    found = evolve(search_of(swing(place, frequency), dim, atoms), np.random.default_rng(0))
    assert found is not None
    assert np.abs(found - place).max() < 1e-12


@pytest.mark.parametrize("dim", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_evolution_ends_where_a_direction_has_no_limit(dim):
    place = hidden(dim, 1, 1)
    found = evolve(search_of(direction(place), dim), np.random.default_rng(0))
    assert found is not None
    assert np.abs(found - place).max() < 1e-12


def test_hops_find_a_singular_place_in_many_dimensions():
    place = hidden(20, 1, 2)
    ends = [hop(search_of(swing(place, 1.0), 20), np.random.default_rng(s)) for s in range(4)]
    assert any(end is not None and np.abs(end - place).max() < 1e-9 for end in ends)


@pytest.mark.parametrize(
    "response",
    [
        lambda at: np.sin(5 * at),
        lambda at: np.abs(at - 0.2),
        lambda at: np.tanh(500 * (at - 0.1)),
        lambda at: at - at,
    ],
    ids=["smooth", "kink", "steep", "constant"],
)
def test_searches_give_up_where_bends_fade(response):
    for find in (hop, evolve):
        assert find(search_of(response, 2), np.random.default_rng(0)) is None


@pytest.mark.parametrize(
    "modulus, stays",
    [
        (lambda r: np.sin(np.log(r)), True),
        (lambda r: np.sin(10 * np.log(r)), True),
        (lambda r: np.sqrt(r), False),
        (lambda r: r * np.sin(np.log(r)), False),
        (lambda r: 1 / np.log(3 + 1 / r), False),
        (lambda r: np.sin(np.log(r)) / np.log(3 + 1 / r), False),
        (lambda r: 1 / np.log(np.log(20 + 1 / r)), False),
        (lambda r: np.sin(np.log(max(r, 1e-5))), False),
        (lambda r: r**0.02, False),
        (lambda r: r**0.02 * np.sin(3 * np.log(r)), False),
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_only_what_never_settles_stays(modulus, stays, seed):
    place = np.array([[0.3, -0.2]])
    search = search_of(lambda at: modulus(max(np.linalg.norm(at - place), 1e-300)), 2)
    rng = np.random.default_rng(seed)
    found = around(search, place, rng)
    finest = 2e-15 * search.domain.diameter
    last = lasts(search, place, rng, finest)
    assert (found.stays(1e-6, finest) and last) == stays


@pytest.mark.parametrize(
    "modulus", [np.log, lambda u: np.log(np.log(20 + u))], ids=["log", "loglog"]
)
def test_a_slow_response_that_vanishes_exactly_in_the_last_bits_settles(modulus):
    place = np.array([[0.3, -0.2], [-0.3, 0.2]])

    def response(at):
        size = float(np.linalg.norm(at.sum(axis=0)))
        return 1 / modulus(3 + 1 / size) if size > 0 else 0.0

    for seed in range(4):
        search, rng = search_of(response, 2, 2), np.random.default_rng(seed)
        found = around(search, place, rng)
        assert not found.stays(1e-6, 2e-15 * search.domain.diameter)
