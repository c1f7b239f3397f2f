"""A hand-written evaluator of terms, plain recursion over heads: the oracle of the symbolic tests.

It shares nothing with the programs of the numeric part. An environment maps points and parameters
to arrays, measures to pairs (points, weights). Values may be complex where all heads are
holomorphic: then the imaginary part at a tiny imaginary step is the derivative.
"""

from functools import singledispatch

import numpy as np
import sympy as sp

from pushforward import symbolic as s

MEMORY: dict = {}


def value(term, env):
    """The value of a term; heads of ours are remembered by the values of their free symbols."""
    if not isinstance(term, s.terms.Term):
        return head_value(term, env)
    used = [env[a] for a in term.free]
    key = (term, *map(id, used))
    if key not in MEMORY:
        if len(MEMORY) > 50_000:
            MEMORY.clear()
        MEMORY[key] = head_value(term, env), used  # `used` keeps the identities alive
    return MEMORY[key][0]


@singledispatch
def head_value(term, env):
    raise NotImplementedError(f"the oracle has no rule for {type(term).__name__}")


def atoms_of(measure, env):
    """The atoms (n, d) and weights (n,) of a measure term."""
    if isinstance(measure, s.Pushforward):
        points, weights = atoms_of(measure.measure, env)
        y = s.FreshPoint()
        image = measure.at(y)
        return np.array([value(image, env | {y: p}) for p in points]), weights
    return env[measure]


def number(x):
    """A Python number, complex where it has an imaginary part by type."""
    return complex(x) if np.iscomplexobj(x) else float(x)


def as_sympy(x):
    if isinstance(x, complex):
        return sp.Float(x.real, 20) + sp.I * sp.Float(x.imag, 20)
    return sp.Float(x, 20)


def law(term, y, energy, env):
    """Weights of a Gibbs law, and log Z."""
    points, weights = atoms_of(term.measure, env)
    scores = np.array([value(energy, env | {y: p}) for p in points])
    kernel = weights * np.exp(scores - scores.real.max())
    return points, kernel / kernel.sum(), scores.real.max() + np.log(kernel.sum())


@head_value.register(s.Point)
@head_value.register(s.FreshPoint)
@head_value.register(s.BoundPoint)
@head_value.register(s.Parameter)
def _(term, env):
    return env[term]


@head_value.register
def _(term: s.Zero, env):
    return 0 * value(term.args[0], env)


@head_value.register
def _(term: s.Ones, env):
    return 0 * value(term.args[0], env) + 1


@head_value.register
def _(term: s.Basis, env):
    return np.eye(len(value(term.args[1], env)))[int(term.args[0])]


@head_value.register(s.VectorSum)
@head_value.register(s.MatrixSum)
def _(term, env):
    return sum(value(a, env) for a in term.args)


@head_value.register(s.Scaled)
@head_value.register(s.MatrixScaled)
def _(term, env):
    return value(term.args[0], env) * value(term.args[1], env)


@head_value.register(s.MatVec)
@head_value.register(s.MatMul)
def _(term, env):
    result = value(term.args[-1], env)
    for factor in reversed(term.args[:-1]):
        result = value(factor, env) @ result
    return result


@head_value.register(s.Block)
@head_value.register(s.Rows)
def _(term, env):
    i, j = term.args[1:]
    return value(term.args[0], env)[int(i) : None if j is sp.oo else int(j)]


@head_value.register
def _(term: s.Stack, env):
    return np.concatenate([np.atleast_1d(value(a, env)) for a in term.args])


@head_value.register
def _(term: s.RowStack, env):
    return np.concatenate([value(a, env) for a in term.args])


@head_value.register
def _(term: s.Elementwise, env):
    expression, v = term.args
    return np.array([value(expression, env | {s.terms.SLOT: t}) for t in value(v, env)])


@head_value.register
def _(term: s.terms.Slot, env):
    return env[term]


@head_value.register
def _(term: s.Identity, env):
    return np.eye(len(value(term.args[0], env)))


@head_value.register
def _(term: s.ZeroMatrix, env):
    rows, columns = (len(value(a, env)) for a in term.args)
    return np.zeros((rows, columns))


@head_value.register
def _(term: s.matrices.Columns, env):
    return np.zeros(value(term.args[0], env).shape[1])


@head_value.register
def _(term: s.Outer, env):
    return np.outer(value(term.args[0], env), value(term.args[1], env))


@head_value.register
def _(term: s.Transpose, env):
    return value(term.args[0], env).T


@head_value.register
def _(term: s.Diagonal, env):
    return np.diag(value(term.args[0], env))


@head_value.register
def _(term: s.Dot, env):
    return number(value(term.args[0], env) @ value(term.args[1], env))


@head_value.register
def _(term: s.Component, env):
    return number(value(term.args[0], env)[int(term.args[1])])


@head_value.register
def _(term: s.Trace, env):
    return number(np.trace(value(term.args[0], env)))


@head_value.register
def _(term: s.Dimension, env):
    return len(value(term.args[0], env))


@head_value.register
def _(term: s.Integral, env):
    points, weights = atoms_of(term.measure, env)
    y = s.FreshPoint()
    body = term.at(y)
    return sum(w * value(body, env | {y: p}) for p, w in zip(points, weights, strict=True))


@head_value.register
def _(term: s.LogPartition, env):
    y = s.FreshPoint()
    return law(term, y, term.at(y), env)[2]


@head_value.register
def _(term: s.Supremum, env):
    points, weights = atoms_of(term.measure, env)
    y = s.FreshPoint()
    body = term.at(y)
    heavy = [p for p, w in zip(points, weights, strict=True) if w > 0]
    return np.max([value(body, env | {y: p}) for p in heavy], axis=0)


@head_value.register
def _(term: s.Cumulant, env):
    y = s.FreshPoint()
    slots, energy = term.at(y)
    points, p, _ = law(term, y, energy, env)
    samples = [np.array([value(h, env | {y: a}) for a in points]) for h in slots]

    def moment(indices):
        total = 0.0
        for k in range(len(points)):
            product = p[k]
            for i in indices:
                product = np.multiply.outer(product, samples[i][k])
            total = total + product
        return total

    assert len(slots) <= 5
    return joint_cumulant(moment, samples, range(len(slots)))


def joint_cumulant(moment, samples, indices):
    """Moments to cumulants, by the sum over partitions (Leonov and Shiryaev 1959)."""
    total = 0.0
    for partition in all_partitions(list(indices)):
        sign = (-1) ** (len(partition) - 1) * float(sp.factorial(len(partition) - 1))
        product, order = np.float64(sign), []
        for block in partition:
            product = np.multiply.outer(product, moment(block))
            order.extend(i for i in block if samples[i].ndim > 1)
        axes = []
        for i in sorted(order):
            start = sum(samples[k].ndim - 1 for k in order[: order.index(i)])
            axes.extend(range(start, start + samples[i].ndim - 1))
        total = total + np.transpose(product, axes)
    return total if np.ndim(total) else number(total)


def all_partitions(items):
    if not items:
        yield []
        return
    for k in range(2 ** (len(items) - 1)):
        block = [items[0]] + [x for i, x in enumerate(items[1:]) if k >> i & 1]
        rest = [x for x in items[1:] if x not in block]
        for others in all_partitions(rest):
            yield [block, *others]


@head_value.register
def _(term: sp.Expr, env):
    """SymPy's own heads: their value at the values of their args, by SymPy itself."""
    if not term.args:
        return float(term)
    if isinstance(term, sp.Piecewise):
        for body, condition in term.args:
            if truth(condition, env):
                return value(body, env)
    found = term.func(*(as_sympy(value(a, env)) for a in term.args)).evalf(20)
    return float(found) if found.is_real else complex(found)


def truth(condition, env):
    if isinstance(condition, (sp.And, sp.Or)):
        return (all if isinstance(condition, sp.And) else any)(
            truth(a, env) for a in condition.args
        )
    if condition in (sp.true, sp.false):
        return bool(condition)
    return bool(condition.func(*(value(a, env) for a in condition.args)))


@head_value.register
def _(term: sp.Add, env):
    return sum(value(a, env) for a in term.args)


@head_value.register
def _(term: sp.Mul, env):
    return number(np.prod([value(a, env) for a in term.args]))


@head_value.register
def _(term: sp.exp, env):
    return number(np.exp(value(term.args[0], env)))


@head_value.register
def _(term: sp.Pow, env):
    return number(np.asarray(value(term.args[0], env)) ** value(term.args[1], env))
