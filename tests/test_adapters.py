"""Modules of other libraries, called as their users call them, and what is wrong with the usual."""

import copy
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import pushforward as pf

BOX = pf.Box([-1.0] * 4, [1.0] * 4)
TOKENS = np.linspace(-1.0, 1.0, 20).reshape(5, 4)


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield torch
    torch.set_num_threads(threads)


@pytest.fixture
def maps(torch):
    import torch_maps

    return torch_maps


# -- how a module is called --------------------------------------------------------------------
class Spy:
    """Records what it is called with and answers with its input."""

    def __call__(self, *tensors):
        self.tensors = tensors
        return tensors[0]


@pytest.mark.parametrize(
    "batch_first, shape", [(True, (1, 5, 4)), (False, (5, 1, 4)), (None, (5, 4))]
)
def test_tokens_are_one_batch(torch, batch_first, shape):
    spy = Spy()
    candidate = pf.torch_module(spy, BOX, batch_first=batch_first)
    out = candidate.fn(TOKENS)
    assert tuple(spy.tensors[0].shape) == shape
    assert isinstance(candidate, pf.TokenMap)
    np.testing.assert_array_equal(np.asarray(out), TOKENS.astype("float32"))


@pytest.mark.parametrize("batch_first, shape", [(True, (1, 5)), (False, (1, 5)), (None, (5,))])
def test_weights_are_a_second_tensor(torch, batch_first, shape):
    spy = Spy()
    candidate = pf.torch_module(spy, BOX, batch_first=batch_first, weighted=True)
    candidate.fn(TOKENS, np.full(5, 0.2))
    assert candidate.weighted and tuple(spy.tensors[1].shape) == shape


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_the_type_of_the_module_is_kept(torch, dtype):
    layer = torch.nn.Linear(4, 3, dtype=getattr(torch, dtype))
    assert str(pf.torch_module(layer, BOX).fn(TOKENS).dtype) == f"torch.{dtype}"


def test_a_function_has_the_type_of_what_it_refers_to(torch):
    layer = torch.nn.Linear(4, 3, dtype=torch.float64)
    matrix = torch.ones(4, 3, dtype=torch.float16)
    by = pf.torch_module
    assert by(lambda t: layer(t), BOX).fn(TOKENS).dtype == torch.float64
    layers = {"first": [matrix]}
    assert by(lambda t: t @ matrix, BOX).fn(TOKENS).dtype == torch.float16
    assert by(lambda t: t @ layers["first"][0], BOX).fn(TOKENS).dtype == torch.float16
    assert by(partial(torch.matmul, other=matrix), BOX).fn(TOKENS).dtype == torch.float16
    assert by(layer.forward, BOX).fn(TOKENS).dtype == torch.float64
    assert by(lambda t: t + 1, BOX).fn(TOKENS).dtype == torch.float32


def test_no_gradients_are_kept(torch):
    layer = torch.nn.Linear(4, 4)
    assert not pf.torch_module(layer, BOX).fn(TOKENS).requires_grad
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("mode", [True, False])
def test_the_mode_is_left_alone(torch, mode):
    layer = torch.nn.Dropout(0.5).train(mode)
    candidate = pf.torch_module(layer, BOX)
    zeros = int((candidate.fn(np.ones((50, 4))) == 0).sum())
    assert (zeros > 0) == mode == layer.training
    layer.train(not mode)  # the candidate sees what becomes of the module
    assert ((candidate.fn(np.ones((50, 4))) == 0).sum() > 0) != mode


@pytest.mark.parametrize("stated", [True, False])
def test_a_layer_of_torch_is_called_in_the_layout_that_it_states(torch, stated):
    one = torch.nn.MultiheadAttention(4, 2, batch_first=True).eval()
    other = torch.nn.MultiheadAttention(4, 2, batch_first=stated).eval()
    other.load_state_dict(one.state_dict())
    tokens = torch.as_tensor(TOKENS, dtype=torch.float32)[None]
    want = one(tokens, tokens, tokens)[0][0].detach()
    np.testing.assert_allclose(pf.torch_module(other, BOX).fn(TOKENS), want, atol=1e-6)


def test_the_layout_of_own_code_is_the_one_asked_for(torch):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(4, 2)

        def forward(self, tokens):
            assert tokens.shape == (1, 5, 4)
            turned = tokens.transpose(0, 1)
            return self.attention(turned, turned, turned)[0].transpose(0, 1)

    assert pf.torch_module(Own(), BOX).fn(TOKENS).shape == (5, 4)


def test_outputs_that_begin_with_the_tokens(torch):
    class Record:
        def __init__(self, tokens):
            self.last_hidden_state = tokens

    for wrap in (lambda t: t, lambda t: (t, "state"), lambda t: [t], Record):
        out = pf.torch_module(lambda t, wrap=wrap: wrap(2 * t), BOX).fn(TOKENS)
        np.testing.assert_allclose(np.asarray(out), 2 * TOKENS, rtol=1e-6)


@pytest.mark.parametrize("keep", [True, False])
def test_a_pooling_moves_every_token_to_one_point(torch, keep):
    out = pf.torch_module(lambda t: t.mean(1, keepdim=keep), BOX).fn(TOKENS)
    np.testing.assert_allclose(np.asarray(out), np.tile(TOKENS.mean(0), (5, 1)), atol=1e-6)


def test_a_wrong_shape_is_named(torch):
    candidate = pf.torch_module(lambda t: t[:, :2].repeat(2, 1, 1), BOX)
    with pytest.raises(ValueError, match=r"first 8 inputs.*shape"):
        pf.verify(candidate, budget=0.2)


def test_a_candidate_can_be_sent_to_another_process(torch):
    candidate = pf.torch_module(torch.nn.Linear(4, 3), BOX)
    again = pickle.loads(pickle.dumps(candidate))
    np.testing.assert_array_equal(again.fn(TOKENS), candidate.fn(TOKENS))
    assert copy.deepcopy(candidate).name == "Linear"


# -- what is right and wrong with the usual ----------------------------------------------------
WRONG = [
    ("SeesPositions", "well-defined", "permute"),
    ("NormalisesOverTokens", "well-defined", "undefined"),
    ("Causal", "well-defined", "permute"),
    ("Recurrent", "well-defined", "permute"),
    ("RootPooling", "well-defined", "replicate"),
    ("SumPooling", "well-defined", "replicate"),
    ("TopTwo", "well-defined", "replicate"),
    ("RoundedProbabilities", "well-defined", "replicate"),
    ("SkipsItself", "well-defined", "replicate"),
    ("LongerIsColder", "well-defined", "replicate"),
    ("Remembers", "well-defined", "repeat"),
    ("Drops", "well-defined", "repeat"),
    ("RoundedActivations", "continuous", "jump"),
    ("RoundedWeights", "well-defined", "replicate"),
]


ONE_OF_EACH = {
    "SeesPositions",
    "NormalisesOverTokens",
    "SumPooling",
    "Remembers",
    "RoundedActivations",
    "RoundedWeights",
}


def _mostly_slow(rows, quick, name=lambda row: row[0]):
    """The rows, those that repeat a kind marked as slow."""
    return [row if name(row) in quick else _slow(row) for row in rows]


def _slow(row):
    values = row if isinstance(row, tuple) else (row,)
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize("name, condition, operation", _mostly_slow(WRONG, ONE_OF_EACH))
def test_what_goes_wrong_in_the_wild_is_refuted(maps, name, condition, operation):
    layer = getattr(maps, name)()
    candidate = pf.torch_module(layer, BOX, weighted=name in maps.WEIGHTED)
    finding = pf.verify(candidate, conditions=[condition], budget=10.0)[condition]
    assert finding.verdict == "refuted", finding.reason
    assert finding.counterexample.operation == operation
    assert finding.counterexample.replay() == "STILL FAILS"


def test_every_wrong_layer_is_tried(maps):
    assert {name for name, *_ in WRONG} == {layer.__name__ for layer in maps.WRONG}


RIGHT = (
    "MultiheadAttention",
    "TransformerEncoderLayer",
    "TransformerEncoder",
    "MAB",
    "SAB",
    "ISAB",
    "PMA",
    "DeepSet",
    "Linear",
    "BatchNormEval",
)


KEPT = {"MultiheadAttention", "TransformerEncoderLayer", "DeepSet", "BatchNormEval"}


@pytest.mark.parametrize("name", _mostly_slow(RIGHT, KEPT, str))
def test_maps_of_measures_are_not_refuted(maps, name):
    report = pf.verify(pf.torch_module(maps.right()[name], BOX), budget=0.3)
    assert report.ok, report


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_maps_of_measures_are_not_refuted_by_a_longer_search(maps, name):
    for seed in (1, 2):
        report = pf.verify(pf.torch_module(maps.right()[name], BOX), budget=2.0, seed=seed)
        assert report.ok, report


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_lower_precision_is_no_violation(maps, torch, dtype):
    layer = maps.DeepSet().to(getattr(torch, dtype))
    report = pf.verify(pf.torch_module(layer, BOX), budget=0.4)
    assert report.ok, report


def test_steps_of_a_short_type_are_no_jumps(torch):
    """Few images on simple numbers: the type alone tells that the steps are rounding."""

    def pooling(tokens):
        return 1 + tokens.mean(1) / 64

    layer = pf.torch_module(lambda tokens: pooling(tokens.bfloat16()), BOX)
    report = pf.verify(layer, conditions=["continuous"], budget=1.5)
    assert report.ok, report
    assert report["well-defined"].evidence["arithmetic"] == "bfloat16"


def test_a_counterexample_says_how_to_call_the_module(maps):
    report = pf.verify(
        pf.torch_module(maps.Causal(), BOX), conditions=["well-defined"], budget=20.0
    )
    shown = report["well-defined"].counterexample.snippet
    assert "torch_module" in shown and "Causal" in shown


# -- JAX, other arrays, transformers, own classes ----------------------------------------------
def test_a_jax_function():
    jnp = pytest.importorskip("jax.numpy")

    def centre(tokens):
        return tokens - jnp.mean(tokens, 0)

    candidate = pf.jax_function(centre, BOX)
    out = candidate.fn(TOKENS)
    assert type(out).__module__.startswith("jax") and out.dtype == "float32"
    assert pf.jax_function(centre, BOX, dtype="bfloat16").fn(TOKENS).dtype == "bfloat16"


@pytest.mark.slow
def test_a_jax_function_is_judged():
    jax = pytest.importorskip("jax")

    def causal(tokens):
        return jax.numpy.cumsum(tokens, 0) / jax.numpy.arange(1, len(tokens) + 1)[:, None]

    wrong = pf.jax_function(jax.jit(causal), BOX)
    found = pf.verify(wrong, conditions=["well-defined"], budget=15.0)["well-defined"]
    assert found.counterexample.operation == "permute"
    right = pf.jax_function(jax.jit(lambda tokens: tokens - tokens.mean(0)), BOX)
    assert pf.verify(right, conditions=["well-defined"], budget=5.0).ok


def test_arrays_of_any_library(torch):
    seen = []
    candidate = pf.array_function(lambda t: seen.append(t) or t, BOX, torch, dtype="float16")
    candidate.fn(TOKENS)
    assert seen[0].dtype == torch.float16
    assert pickle.loads(pickle.dumps(pf.array_function(np.sin, BOX, np))).name == "sin"


class Standardise:
    """A transformer in the manner of scikit-learn."""

    def fit(self, tokens):
        self.mean, self.scale = tokens.mean(0), np.sqrt(tokens.var(0) + 0.1)
        return self

    def transform(self, tokens):
        return (tokens - self.mean) / self.scale

    def fit_transform(self, tokens):
        return self.fit(tokens).transform(tokens)


class Whiten(Standardise):
    """Divides by n - 1, which is no function of the measure."""

    def fit(self, tokens):
        super().fit(tokens)
        self.scale = self.scale * np.sqrt(len(tokens) / max(len(tokens) - 1, 1))
        return self


def test_a_fitted_transformer_moves_each_token_alone():
    fitted = Standardise().fit(TOKENS)
    candidate = pf.sklearn_transformer(fitted, BOX)
    np.testing.assert_array_equal(candidate.fn(TOKENS[:1]), fitted.transform(TOKENS[:1]))
    assert pf.verify(candidate, budget=0.5).ok


def test_a_transformer_fitted_on_the_tokens():
    model = Standardise()
    candidate = pf.sklearn_transformer(model, BOX, fit=True)
    assert pf.verify(candidate, conditions=["well-defined"], budget=0.5).ok
    assert not hasattr(model, "mean")  # a copy was fitted
    wrong = pf.sklearn_transformer(Whiten(), BOX, fit=True)
    found = pf.verify(wrong, conditions=["well-defined"], budget=20.0)["well-defined"]
    assert found.counterexample.operation == "replicate"


def test_sparse_output_is_made_dense():
    sparse = pytest.importorskip("scipy.sparse")

    class Sparse:
        def transform(self, tokens):
            return sparse.csr_array(tokens)

    np.testing.assert_array_equal(pf.sklearn_transformer(Sparse(), BOX).fn(TOKENS), TOKENS)


def test_an_own_class_is_called_by_its_name():
    class Shrink:
        def __call__(self, tokens):
            return tokens / 2

    report = pf.verify(pf.TokenMap(Shrink(), BOX), conditions=["well-defined"], budget=0.5)
    assert report.candidate["name"] == "Shrink" and report.ok


# -- wrong calls -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: pf.torch_module(3, BOX), "torch_module(module, domain) expects a function first"),
        (lambda: pf.array_function(np.sin, BOX, "no_such_library"), "no_such_library"),
        (lambda: pf.array_function(np.sin, BOX, np, dtype="float33"), "float33"),
        (lambda: pf.sklearn_transformer(object(), BOX), "an object with transform"),
        (lambda: pf.sklearn_transformer(object(), BOX, fit=True), "with fit_transform"),
        (lambda: pf.jax_function(np.sin, None), "expects a domain"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, message):
    pytest.importorskip("torch")
    with pytest.raises((TypeError, ValueError, ImportError)) as caught:
        call()
    assert message in str(caught.value)


def test_a_bare_module_is_answered_with_the_adapter(torch):
    with pytest.raises(TypeError, match="torch_module"):
        pf.verify(torch.nn.Linear(4, 4), domain=BOX)
    with pytest.raises(ValueError, match="torch_module"):
        pf.verify(pf.TokenMap(torch.nn.Linear(4, 4), BOX), budget=0.2)


def test_the_adapters_themselves_load_no_library():
    code = (
        "import sys, pushforward as pf; pf.torch_module, pf.jax_function;"
        "print([m for m in ('torch', 'jax') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
