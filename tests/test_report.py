"""Reports as text, HTML and JUnit: complete, self-contained, well-formed, and stored exactly."""

import json
import re
from functools import cache
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from pushforward.numeric import DiscreteMeasure
from pushforward.proofs_checks import LEDGER
from pushforward.verify import store
from pushforward.verify.findings import VERDICTS, Counterexample, Finding, Report
from pushforward.verify.report import junit, number, render_html, render_text

TREE = {
    "rule": "gibbs",
    "conclusion": "G is continuous",
    "source": "Furuya, de Hoop & Lassas (2025)",
    "premises": [{"rule": "affine", "conclusion": "the energy is bounded", "premises": []}],
}

RULE = LEDGER["integral"]


def counterexample(*clouds, condition="B1", identifier="id-1", **numbers):
    measures = tuple(DiscreteMeasure(points, weights) for points, weights in clouds)
    snippet = "import numpy as np\nprint(f(points) < 1 & 2)"
    return Counterexample(condition, "split", measures, numbers, identifier, snippet)


def report(*findings, **candidate):
    return Report(
        candidate={"name": "tricky <b>&amp;\x07", "kind": "MeasureMap"} | candidate,
        domain="ball:2:1.0",
        seed=3,
        budget="quick",
        versions={"pushforward": "0.1.0", "numpy": "2.0"},
        conditions={finding.condition: finding for finding in findings},
    )


PAIR = counterexample(
    ([[0.25, 0.5], [-0.75, 0.125]], [1 / 3, 2 / 3]),
    ([[0.25, 0.5 + 2**-40], [-0.75, 0.125]], [1 / 3, 2 / 3]),
    defect=1 / 3, scale=1e-300, limit=float("inf"),
)  # fmt: skip
FULL = report(
    Finding("well-defined", "tested", "No counterexample in 2400 trials.", {"trials": 2400}),
    Finding("continuous", "undecided", "The margin is inside the rounding.",
            {"curve": [(10.0**-k, 1.0 + k) for k in range(9)]}),
    Finding("B1", "refuted", "Two atoms have four images.",
            {"kinds": [{"kind": "tag", "worst": 1e-15}, {"kind": "merge", "runs": 3}]}, PAIR),
    Finding("B2", "proved", "Every head is continuous.",
            {"proof": TREE, "nothing": None, "rules": [RULE], "matrix": np.eye(2)}),
    Finding("vlasov", "not-applicable", "B1 is refuted."),
)  # fmt: skip


@cache
def full_html(page=True):
    return render_html(FULL, page=page)


class Page(HTMLParser):
    """Checks that tags nest, and collects what the page refers to."""

    VOID = {"meta", "link", "br", "img", "hr", "input"}

    def __init__(self):
        super().__init__()
        self.open, self.links, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        for key, value in attributes:
            if key in ("src", "href", "xlink:href"):
                self.links.append(value)
            if key == "id":
                self.ids.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(html):
    page = Page()
    page.feed(html)
    assert not page.open
    return page


def test_text_says_everything_in_100_columns():
    text = render_text(FULL)
    assert max(map(len, text.splitlines())) <= 100
    for finding in FULL.conditions.values():
        assert f"  {finding.condition} " in text
        assert finding.verdict in text and finding.reason in text
    assert "pushforward replay id-1" in text
    assert "print(f(points) < 1 & 2)" in text
    assert "1/3" not in text and "defect 0.333333" in text
    assert str(FULL) == text
    assert text.endswith("1 refuted, 1 undecided, 1 proved, 1 tested, 1 not-applicable")


def test_measures_that_look_alike_are_shown_to_the_last_digit():
    text = render_text(FULL)
    assert f"0.3333333333333333 at (0.25, {0.5 + 2**-40!r})" in text
    assert f"(0.25, {0.5 + 2**-40!r})" in full_html()


def test_a_counterexample_of_two_conditions_is_shown_once():
    pair = counterexample(([[0.0]], [1.0]), ([[1.0]], [1.0]), condition="continuous")
    both = report(
        Finding("continuous", "refuted", "The image jumps.", {}, pair),
        Finding("B2", "refuted", "f is not continuous.", {}, pair),
    )
    text, html = render_text(both), render_html(both)
    assert text.count("pushforward replay id-1") == 1 and "continuous and B2 are refuted" in text
    assert html.count("pushforward replay id-1") == 1 and "counterexample of continuous" in html
    assert junit(both).count("pushforward replay id-1") == 2


def test_many_atoms_are_cut_in_text_and_said():
    crowd = counterexample((np.linspace(0, 1, 500)[:, None], None))
    text = render_text(report(Finding("B1", "refuted", "Atoms split.", {}, crowd)))
    assert "500 atoms" in text and "and 492 more" in text
    assert len(text.splitlines()) < 30


@pytest.mark.parametrize("page", [True, False])
def test_html_is_well_formed_and_self_contained(page):
    parsed = parse(full_html(page))
    assert all(link.startswith("#") for link in parsed.links)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_html_says_everything():
    text = " ".join("".join(parse(full_html()).text).split())
    for finding in FULL.conditions.values():
        assert finding.reason in text and finding.verdict in text
    for shown in (
        "pushforward replay id-1",
        "print(f(points) < 1 & 2)",
        "the energy is bounded",
        "Furuya, de Hoop & Lassas (2025)",
        "2400",
        "merge",
        "numpy 2.0",
        RULE.source,
    ):
        assert shown in text
    assert "tricky <b>" in text  # the name of a candidate is text, not markup


def test_html_is_reproducible():
    assert render_html(FULL) == full_html()


def test_to_html_and_notebook(tmp_path):
    FULL.to_html(tmp_path / "page.html")
    written = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert written.startswith("<!doctype html>") and written == full_html()
    notebook = FULL._repr_html_()
    assert "<html" not in notebook and notebook == full_html(False)


def disc_heights(svg):
    """The heights of all paths in a picture that have curves: its discs."""
    paths = re.findall(r'<path (?:id="[^"]*" )?d="([^"]*)"', svg)
    found = set()
    for path in paths:
        numbers = [float(value) for value in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", path)]
        if "C" in path:
            found.add(round(max(numbers[1::2]) - min(numbers[1::2]), 3))
    return found


def test_area_of_a_disc_is_the_weight():
    one = counterexample(([[0.0, 0.0], [1.0, 1.0]], [0.2, 0.8]))
    heights = disc_heights(render_html(report(Finding("B1", "refuted", "Atoms split.", {}, one))))
    small, large = sorted(heights)[-2:]
    assert (large / small) ** 2 == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
def test_a_picture_for_every_dimension(dim):
    rng = np.random.default_rng(dim)
    weights = rng.dirichlet(np.ones(5))
    weights[0] = 0.0
    found = counterexample(*[(rng.normal(size=(5, dim)), weights) for _ in range(3)])
    html = render_html(report(Finding("B1", "refuted", "Atoms split.", {}, found)))
    parse(html)
    assert html.count("<svg") == 1
    assert ("first two of" in html) == (dim > 2)


def test_junit_is_read_as_what_it_says():
    root = ElementTree.fromstring(junit(FULL))
    (suite,) = root
    assert [suite.get(key) for key in ("tests", "failures", "errors", "skipped")] == list("5102")
    outcome = {case.get("name"): [child.tag for child in case] for case in suite}
    assert outcome == {
        "well-defined": ["system-out"],
        "continuous": ["skipped"],
        "B1": ["failure"],
        "B2": ["system-out"],
        "vlasov": ["skipped"],
    }
    assert "pushforward replay id-1" in suite.find("testcase/failure").text


def test_json_is_standard():
    def refuse(name):
        raise AssertionError(name)

    document = json.loads(FULL.to_json(), parse_constant=refuse)
    assert document["conditions"]["B1"]["counterexample"]["numbers"]["limit"] == "inf"
    assert document["conditions"]["B2"]["evidence"]["rules"][0]["source"] == RULE.source
    assert {finding["verdict"] for finding in document["conditions"].values()} <= set(VERDICTS)


@pytest.mark.parametrize(
    "value, shown",
    [(1.0, "1"), (0.1, "0.1"), (1 / 3, "0.333333"), (1e-300, "1e-300"), (7, "7"), (True, "yes"),
     (float("nan"), "nan"), (-float("inf"), "-inf"), (np.float64(2.5), "2.5"), ("a", "a"),
     (123456789.0, "1.23457e+08")],
)  # fmt: skip
def test_numbers_are_short(value, shown):
    assert number(value) == shown


ORIGIN = {"target": "maps.py:split", "kind": "MeasureMap", "domain": "ball:2:1.0"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_store_is_exact(home):
    path = store.save(PAIR, ORIGIN)
    assert path == home / "findings" / "id-1.json"
    found, origin = store.load("id-1")
    assert origin == ORIGIN
    assert found == PAIR
    for got, want in zip(found.measures, PAIR.measures, strict=True):
        assert np.array_equal(got.points, want.points)
        assert np.array_equal(got.weights, want.weights)
    assert [entry.name for entry in path.parent.iterdir()] == ["id-1.json"]


def test_store_replaces(home):
    store.save(PAIR, ORIGIN)
    store.save(PAIR, ORIGIN | {"target": "other.py:split"})
    assert store.load("id-1")[1]["target"] == "other.py:split"


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_a_damaged_finding_is_named(home, cut):
    path = store.save(PAIR, ORIGIN)
    path.write_text(path.read_text()[:cut])
    with pytest.raises(ValueError, match="id-1.json is damaged"):
        store.load("id-1")


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.update(schema="other/1"),
        lambda d: d.pop("origin"),
        lambda d: d["counterexample"].pop("measures"),
        lambda d: d["counterexample"]["measures"][0].update(weights=[-1.0, 2.0]),
        lambda d: d["counterexample"].update(numbers={"defect": "large"}),
        lambda d: d.update(origin=None),
    ],
)
def test_a_finding_of_another_shape_is_damaged(home, damage):
    path = store.save(PAIR, ORIGIN)
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="is damaged"):
        store.load("id-1")


@pytest.mark.parametrize("identifier", ["../id-1", "", "a/b", "id 1", "x" * 200, ".hidden"])
def test_an_identifier_is_no_path(home, identifier):
    with pytest.raises(ValueError, match="expected the id of a finding"):
        store.load(identifier)


def test_an_unknown_finding_is_said(home):
    with pytest.raises(ValueError, match="no finding 'zz'"):
        store.load("zz")
