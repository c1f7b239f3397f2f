"""Steps of rounding inside are told from jumps, on either side of the line."""

import numpy as np
import pytest

import pushforward as pf
from pushforward.verify.curves import jump_on, zoom
from pushforward.verify.distance import moved
from pushforward.verify.gauges import Labels
from pushforward.verify.steps import only_rounding, scatters
from pushforward.verify.subject import Clock, Subject

SQUARE = pf.Box([-1.0, -1.0], [1.0, 1.0])
WEIGHTS = np.array([0.2, 0.5, 0.3])


def half(array):
    return array.astype(np.float16).astype(float)


def brain(array):
    """Rounded to bfloat16, which keeps the upper half of a float32."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32) + np.uint32(0x8000)
    return (bits & np.uint32(0xFFFF0000)).view(np.float32).astype(float)


def soft(points, weights, x):
    kernel = weights * np.exp(3 * x @ points.T)
    return kernel / kernel.sum(axis=1, keepdims=True)


ROUNDING = {
    "mean in float16": lambda p, w, x: x + np.tanh(half(w @ p)),
    "mean in bfloat16": lambda p, w, x: x + np.tanh(brain(w @ p)),
    "steep in float16": lambda p, w, x: x + np.tanh(20 * half(w @ p)),
    "tokens in float16": lambda p, w, x: np.sin(3 * x) + w @ np.cos(2 * half(p)),
    "scores in bfloat16": lambda p, w, x: x + soft(brain(p), w, brain(x)) @ p,
    "probabilities in float16": lambda p, w, x: x + half(soft(p, w, x)) @ p,
}
MEANT = {
    "a step": lambda p, w, x: x + 1e-3 * (w @ p > 0.1),
    "three decimals": lambda p, w, x: np.round(x + w @ p, 3),
    "eighths inside": lambda p, w, x: x + np.tanh(np.round(8 * (w @ p)) / 8),
    "eight bits": lambda p, w, x: np.round(127 * np.clip(x + w @ p, -1, 1)) / 127,
    "whole numbers": lambda p, w, x: np.floor(100 * (x + w @ p)),
    "a step of ten times float16": lambda p, w, x: x + half(w @ p) + 1e-2 * (w @ p > 0.1),
    "a step in steep company": lambda p, w, x: x + np.sin(10 * (w @ p)) + 0.1 * (w @ p > 0.1),
}


def jump(subject, seed):
    """The measure next to the largest jump on a way through the square, and its size."""
    rng = np.random.default_rng(seed)
    start, end = np.array([[-1.0, -1.0], [1.0, 1.0]])[:, None] * rng.uniform(0.3, 0.9, (2, 3, 2))

    def image(t):
        return subject.push((1 - t) * start + t * end, WEIGHTS)

    ts = np.linspace(0, 1, 400)
    rises = np.diff([image(t)[0] for t in ts], axis=0)
    bends = np.abs(rises[1:-1] - (rises[2:] + rises[:-2]) / 2).max(axis=(1, 2))
    k = 1 + int(np.argmax(bends))
    left, right = ts[k], ts[k + 1]
    for _ in range(40):
        middle = (left + right) / 2
        low = moved(image(left), image(middle)) >= moved(image(middle), image(right))
        left, right = (left, middle) if low else (middle, right)
    return (1 - left) * start + left * end, float(moved(image(left), image(right)))


def put_down_to_rounding(fn, seed):
    subject = Subject(pf.InContextMap(fn, SQUARE))
    points, size = jump(subject, seed)
    assert size > 1e-6
    found = only_rounding(subject, subject.push, moved, (points, WEIGHTS), size)
    assert found == (subject.steps > 0)
    return found


@pytest.mark.parametrize("name", ROUNDING)
def test_steps_of_a_short_type_are_rounding(name):
    for seed in range(2):
        assert put_down_to_rounding(ROUNDING[name], seed)


def test_steps_of_rounded_weights_are_rounding():
    """On no way of positions alone is there a jump of it."""
    subject = Subject(pf.InContextMap(lambda p, w, x: x + half(w) @ np.sin(p), SQUARE))
    points = np.random.default_rng(0).uniform(-1, 1, (3, 2))
    assert only_rounding(subject, subject.push, moved, (points, WEIGHTS), 1e-4)


@pytest.mark.parametrize("name", MEANT)
def test_jumps_that_are_meant_are_not(name):
    for seed in range(2):
        assert not put_down_to_rounding(MEANT[name], seed)


def test_smooth_maps_have_no_steps():
    subject = Subject(pf.InContextMap(lambda p, w, x: x + np.sin(40 * (w @ p)), SQUARE))
    points = np.random.default_rng(0).uniform(-1, 1, (3, 2))
    for defect in (1e-5, 1e-3, 0.1):
        assert not only_rounding(subject, subject.push, moved, (points, WEIGHTS), defect)
    assert subject.steps == 0


def test_differences_scatter_where_they_are_rounding():
    rng = np.random.default_rng(0)
    images = [rng.normal(size=(4, 2)) for _ in range(8)]
    noise = [1e-3 * rng.normal(size=(4, 2)) for _ in range(8)]
    assert scatters(noise, images)
    assert not scatters([1e-3 + 0.1 * part for part in noise], images)
    assert not scatters([100 * part for part in noise], images)


@pytest.mark.parametrize(
    "name, response",
    {
        "steep": (lambda t: np.tanh(np.float32(5e5) * (np.float32(t) - np.float32(0.7)))),
        "root": (lambda t: np.abs(np.float32(t) - np.float32(0.7)) ** np.float32(0.1)),
        "step": (lambda t: np.float32(0.02) * (np.float32(t) > np.float32(0.7))),
        "step on a slope": (lambda t: np.tanh(30 * np.float32(t)) + 0.3 * (np.float32(t) > 0.7)),
    }.items(),
)
def test_steps_of_float32_on_a_steep_response_are_no_jump(name, response):
    def respond(which, ts):
        return [np.array([[float(response(t))]]) for t in ts]

    (found,) = zoom(respond, Labels(), [True], calls=256, floor=1e-6, clock=Clock(60.0))
    assert jump_on(found, 1e-4, 1e-6) == name.startswith("step")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mean in float16", "steep in float16", "mean to three decimals"])
def test_a_map_that_moves_in_steps_is_undecided_and_says_so(name):
    fn = ROUNDING.get(name, lambda p, w, x: x + np.round(w @ p, 3))
    report = pf.verify(pf.InContextMap(fn, SQUARE), conditions=["continuous"], budget=15.0)
    shown = report["continuous"]
    assert shown.verdict == "undecided", report
    assert shown.evidence["steps"] > 0 and "moves in steps" in shown.reason
