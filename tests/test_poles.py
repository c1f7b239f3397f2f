"""Complex singularities lead to singular places that a steep response hides, and to no others."""

import numpy as np
import pytest

import pushforward as pf
from pushforward.verify.gauges import Distances, Labels
from pushforward.verify.homing import Search, evolve
from pushforward.verify.noise import Noise
from pushforward.verify.poles import follow, followed
from pushforward.verify.subject import Clock

EXACT = Noise(0.0, 1.0, 1e-4, "float64")
ENDLESS = 1e6  # seconds: these searches end by themselves
SMALL = 1e-3


def labels_of(response, domain, atoms=1):
    def respond(places):
        return [np.atleast_2d(response(place)) for place in places]

    return Search(respond, Labels(), domain, atoms, EXACT, Clock(ENDLESS))


def direction(step):
    step = step.ravel()
    return step / max(np.linalg.norm(step), 1e-300)


def steep(at):
    return np.tanh(2 * np.cumsum(at))


def swing(step):
    size = np.linalg.norm(step)
    return np.sin(3 * np.log(size)) if size > 0 else 0.0


def ends(search, starts=60):
    found = (follow(search, np.random.default_rng(seed)) for seed in range(starts))
    return (place for place, radius in filter(None, found) if radius < 1e-6)


DOMAINS = [pf.Box([-1.0] * 2, [1.0] * 2), pf.Ball(3), pf.Simplex(3), pf.Sphere(3)]


@pytest.mark.parametrize("domain", DOMAINS, ids=str)
@pytest.mark.parametrize("singular", [direction, swing])
def test_a_small_singular_part_is_found_beside_a_steep_one(domain, singular):
    place = domain.project(0.6 * domain.sample(np.random.default_rng(3), 1))

    def response(at):
        return steep(at) + SMALL * singular(at - place)

    found = ends(labels_of(response, domain))
    assert any(np.abs(at - place).max() < 1e-6 * domain.diameter for at in found)


def test_where_the_mean_of_two_atoms_is_singular():
    domain, place = pf.Ball(2), np.array([0.2, -0.3])

    def response(at):
        return steep(at.mean(axis=0)) + SMALL * direction(at.mean(axis=0) - place)

    found = ends(labels_of(response, domain, 2))
    assert any(np.abs(at.mean(axis=0) - place).max() < 1e-6 for at in found)


def test_images_in_any_order_are_read():
    domain, place = pf.Ball(2), np.array([0.2, -0.3])

    def respond(places):
        rng = np.random.default_rng(0)
        images = []
        for at in places:
            order = rng.permutation(len(at))
            moved = np.tanh(2 * at) + SMALL * direction(at.mean(axis=0) - place)
            images.append((moved[order], np.full(len(at), 1 / len(at))))
        return images

    found = ends(Search(respond, Distances(0.0), domain, 2, EXACT, Clock(ENDLESS)))
    assert any(np.abs(at.mean(axis=0) - place).max() < 1e-6 for at in found)


def test_the_last_bits_are_reached():
    domain, place = pf.Ball(3), np.array([[0.2, -0.3, 0.1]])
    search = labels_of(lambda at: steep(at) + SMALL * direction(at - place), domain)
    found = followed(search, np.random.default_rng(0), 24)
    assert found is not None
    assert np.abs(found - place).max() < 1e-14


@pytest.mark.parametrize(
    "response",
    [
        steep,
        lambda at: np.sqrt((at**2).sum() + 1e-4),
        lambda at: np.sin(20 * at),
        lambda at: 1 / (1.01 + at[0, 0]),
        lambda at: at,
        lambda at: at - at,
        lambda at: np.round(16 * at) / 16,
        lambda at: np.tanh(500 * at).astype(np.float16).astype(float),
        lambda at: np.where(at[0, 0] > 0.1, np.nan, at),
    ],
    ids="steep root wave pole-outside linear constant steps short-type not-a-number".split(),
)
def test_nothing_is_found_where_nothing_is_singular(response):
    search = labels_of(response, pf.Ball(2))
    assert followed(search, np.random.default_rng(0), 24) is None


def test_noise_is_not_followed():
    noise = Noise(1e-6, 1.0, 1.0, "float32", 1e-7)
    rng = np.random.default_rng(0)

    def respond(places):
        return [np.tanh(at) + 1e-6 * rng.normal(size=at.shape) for at in places]

    search = Search(respond, Labels(), pf.Ball(2), 1, noise, Clock(ENDLESS))
    assert not list(ends(search, 4))


def test_a_kink_is_left_to_fade():
    search = labels_of(lambda at: np.abs(at - 0.2), pf.Ball(2))
    for seed in range(3):
        found = follow(search, np.random.default_rng(seed))
        if found is not None:
            assert evolve(search, np.random.default_rng(seed), (found[0], 10 * found[1])) is None


def test_a_domain_of_one_point_has_no_lines():
    search = labels_of(steep, pf.Box([0.5, 0.5], [0.5, 0.5]))
    assert followed(search, np.random.default_rng(0), 24) is None


def test_time_ends_the_search():
    search = labels_of(lambda at: direction(at), pf.Ball(3))
    search = Search(search.respond, search.gauge, search.domain, 1, EXACT, Clock(0.0))
    assert follow(search, np.random.default_rng(0)) is None
    assert followed(search, np.random.default_rng(0), 24) is None
