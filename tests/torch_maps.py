"""Layers as people write them: some are maps of measures, some only look like it."""

import torch
from torch import nn


def softmax_attention(tokens, mask=None, project=lambda p: p):
    scores = tokens @ tokens.transpose(1, 2)
    if mask is not None:
        scores = scores.masked_fill(mask, -torch.inf)
    return project(scores.softmax(-1)) @ tokens


class SeesPositions(nn.Module):
    """A learned vector for every place in the list."""

    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(4096, 4))

    def forward(self, tokens):
        return tokens + self.position[: tokens.shape[1]]


class NormalisesOverTokens(nn.Module):
    """BatchNorm whose batch is the list of tokens."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, tokens):
        return self.norm(tokens.transpose(1, 2)).transpose(1, 2)


class Causal(nn.Module):
    def forward(self, tokens):
        n = tokens.shape[1]
        later = torch.ones(n, n, dtype=torch.bool).triu(1)
        return softmax_attention(tokens, later)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 4, batch_first=True)

    def forward(self, tokens):
        return self.lstm(tokens)


class RootPooling(nn.Module):
    """Sum over the square root of the number of tokens."""

    def forward(self, tokens):
        return tokens + tokens.sum(1, keepdim=True) / tokens.shape[1] ** 0.5


class SumPooling(nn.Module):
    def forward(self, tokens):
        return tokens.sum(1)


class TopTwo(nn.Module):
    """Each token listens to the two tokens of largest score."""

    def forward(self, tokens):
        scores = tokens @ tokens.transpose(1, 2)
        least = scores.topk(min(2, scores.shape[-1])).values[..., -1:]
        return softmax_attention(tokens, scores < least)


class RoundedProbabilities(nn.Module):
    """Attention probabilities on eight bits: from 512 tokens on they are all zero."""

    def forward(self, tokens):
        return softmax_attention(tokens, project=lambda p: (p * 255).round() / 255)


class RoundedActivations(nn.Module):
    def forward(self, tokens):
        return ((tokens + tokens.mean(1, keepdim=True)) * 8).round() / 8


class SkipsItself(nn.Module):
    """Attention to all tokens but oneself."""

    def forward(self, tokens):
        n = tokens.shape[1]
        return softmax_attention(tokens, torch.eye(n, dtype=torch.bool) if n > 1 else None)


class LongerIsColder(nn.Module):
    """The temperature falls with the logarithm of the number of tokens."""

    def forward(self, tokens):
        scores = tokens @ tokens.transpose(1, 2) * torch.tensor(tokens.shape[1] + 1.0).log()
        return scores.softmax(-1) @ tokens


class Remembers(nn.Module):
    """A running mean over calls enters the output."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(4))

    def forward(self, tokens):
        self.seen += 0.1 * tokens.mean((0, 1))
        return tokens + self.seen


class MultiheadBlock(nn.Module):
    """MAB of the Set Transformer (Lee et al. 2019, arXiv 1810.00825)."""

    def __init__(self, dim=4, heads=2):
        super().__init__()
        self.attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.feed = nn.Sequential(nn.Linear(dim, 8), nn.ReLU(), nn.Linear(8, dim))
        self.first, self.second = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, x, y):
        h = self.first(x + self.attention(x, y, y)[0])
        return self.second(h + self.feed(h))


class SetAttention(nn.Module):
    """SAB."""

    def __init__(self):
        super().__init__()
        self.block = MultiheadBlock()

    def forward(self, tokens):
        return self.block(tokens, tokens)


class InducedSetAttention(nn.Module):
    """ISAB with three inducing points."""

    def __init__(self):
        super().__init__()
        self.points = nn.Parameter(torch.randn(1, 3, 4))
        self.inward, self.outward = MultiheadBlock(), MultiheadBlock()

    def forward(self, tokens):
        return self.outward(tokens, self.inward(self.points, tokens))


class PoolingByAttention(nn.Module):
    """PMA with one seed: one row whatever the number of tokens."""

    def __init__(self):
        super().__init__()
        self.seed = nn.Parameter(torch.randn(1, 1, 4))
        self.block = MultiheadBlock()

    def forward(self, tokens):
        return self.block(self.seed, tokens)


class DeepSet(nn.Module):
    """Equivariant Deep Sets (Zaheer et al. 2017, arXiv 1703.06114) with the mean as pooling."""

    def __init__(self):
        super().__init__()
        self.own, self.all = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, tokens):
        return self.own(tokens).relu() + self.all(tokens.mean(1, keepdim=True)).tanh()


class MultiheadBlockWithItself(MultiheadBlock):
    def forward(self, x):
        return super().forward(x, x)


class Drops(nn.Module):
    """Dropout left in training mode."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 4))

    def forward(self, tokens):
        return self.layers(tokens)


class RoundedWeights(nn.Module):
    """The mean under weights that are kept on four bits."""

    def forward(self, tokens, weights):
        kept = (weights * 16).round() / 16
        return tokens + (kept[..., None] * tokens).sum(1, keepdim=True)


WEIGHTED = {"RoundedWeights"}
WRONG = (
    SeesPositions,
    NormalisesOverTokens,
    Causal,
    Recurrent,
    RootPooling,
    SumPooling,
    TopTwo,
    RoundedProbabilities,
    SkipsItself,
    LongerIsColder,
    Remembers,
    Drops,
    RoundedActivations,
    RoundedWeights,
)


def right():
    """Maps of measures, each with the layout in which it is called."""
    layer = nn.TransformerEncoderLayer(4, 2, 16, batch_first=True).eval()
    stack = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(4, 2, 16), 2, enable_nested_tensor=False
    )
    return {
        "MultiheadAttention": nn.MultiheadAttention(4, 2),
        "TransformerEncoderLayer": layer,
        "TransformerEncoder": stack.eval(),
        "MAB": MultiheadBlockWithItself(),
        "SAB": SetAttention(),
        "ISAB": InducedSetAttention(),
        "PMA": PoolingByAttention(),
        "DeepSet": DeepSet(),
        "Linear": nn.Linear(4, 3),
        "BatchNormEval": NormalisesOverTokens().eval(),
    }
