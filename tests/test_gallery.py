"""The gallery is what the tool prints, and a browser lays its formulas out."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pushforward.symbolic import gallery

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gallery.md"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


def formulas():
    """Each exhibit and its derivatives: four, and two of max pooling."""
    exhibits = gallery.exhibits()
    found = [f for e in exhibits for f in (e.source, *gallery._derived(e.source).values())]
    assert len(found) == 5 * len(exhibits) - 2
    return found


def test_committed_page_is_what_the_tool_prints():
    assert PAGE.read_text() == gallery.page()


def test_known_formulas_are_on_the_page():
    text = PAGE.read_text()
    assert r"V\,\mathrm{Cov}_{p}(y)\,A^{\top}" in text
    assert "exp(<x, A z> - log Z_p) V (z - E_p[y])" in text
    assert text.count("$$") == 2 * len(formulas())


def test_the_named_systems_have_sections():
    titles = re.findall(r"^## (.*)$", PAGE.read_text(), re.M)
    wanted = ("Softmax", "Linear", "Sigmoid", "L2", "Sinkhorn", "Cucker-Smale", "Kuramoto")
    assert all(any(name in title for title in titles) for name in wanted)


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
def test_a_browser_lays_out_the_mathml(tmp_path):
    """Each formula gets a box of its own, wider than high, and nothing stays unknown."""
    shown = formulas()
    text = "".join(f"<p>{formula.mathml()}</p>" for formula in shown)
    script = """<script>
      const boxes = [...document.querySelectorAll('math')].map(m => m.getBoundingClientRect());
      const kinds = [...document.querySelectorAll('math *')].map(e => e.constructor.name);
      document.title = [boxes.length, Math.min(...boxes.map(b => b.width)),
        Math.min(...boxes.map(b => b.height)), [...new Set(kinds)].join('+')].join(' ');
    </script>"""
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset='utf-8'><body>{text}{script}")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command.append(f"--user-data-dir={tmp_path / 'profile'}")
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=120, env=environment
    )
    count, width, height, kinds = re.search(r"<title>(.*?)</title>", done.stdout)[1].split(" ", 3)
    assert int(count) == len(shown)
    assert float(width) > 20 and float(height) > 8
    assert kinds == "MathMLElement"
