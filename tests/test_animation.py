"""Pictures of flows: frames that differ, on the line, the plane, the sphere and beyond."""

import numpy as np
import pytest
from PIL import Image

from pushforward.verify import animation
from pushforward.verify.animation import draw_flow


def circle(dim, frames=7, n=5):
    """Particles that turn in the first two coordinates, of norm one."""
    angles = np.linspace(0, 2, frames)[:, None] + np.linspace(0, 5, n)
    path = np.zeros((frames, n, dim))
    path[:, :, 0] = np.cos(angles)
    if dim > 1:
        path[:, :, 1] = np.sin(angles)
    return path


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_frames_side_by_side(dim, tmp_path):
    out = draw_flow(circle(dim), [0.1, 0.2, 0.3, 0.4, 0.0], tmp_path / "flow.png", time=2.0)
    pixels = np.asarray(Image.open(out).convert("L"))
    assert pixels.shape[0] > 300 and np.ptp(pixels) > 150


def test_an_animation_moves(tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "FRAMES", 4)
    out = draw_flow(circle(2), None, tmp_path / "flow.gif", time=2.0, seconds=1.0)
    with Image.open(out) as film:
        assert film.n_frames == 4 and film.info["duration"] == 250
        frames = []
        for k in range(4):
            film.seek(k)
            frames.append(np.asarray(film.convert("L"), dtype=float))
    for one, other in zip(frames, frames[1:], strict=False):
        assert np.abs(one - other).max() > 50


def test_bad_calls(tmp_path):
    with pytest.raises(ValueError, match=".gif or .png"):
        draw_flow(circle(2), None, tmp_path / "flow.mp4")
    with pytest.raises(ValueError, match="trajectory of shape"):
        draw_flow(circle(2)[0], None, tmp_path / "flow.png")
