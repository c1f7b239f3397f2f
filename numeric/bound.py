"""A term with numbers for its parameters: evaluated on discrete measures by every engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import array_api_compat
import numpy as np

from .arrays import check_type, namespace, real_array, to_numpy
from .checkpoints import digest_of
from .costs import explain
from .engines import DIGITS, PAIRS_FOR_NATIVE, Request, run
from .flows import integrate
from .native_calls import batch, quick, ragged
from .program import Program
from .reference import Inputs
from .rounding import Precision, answer_error, rounding_bound, upward
from .rounding_functions import unknown


@dataclass(frozen=True, slots=True)
class Values:
    """Values and how far each may be from exact: `|value - exact| <= bound`.

    Exact means in real arithmetic, at the numbers given as points, weights and parameters.
    `unknown` names the functions of whose rounding nothing is known, which make bounds infinite:
    registered without `rounding=`, or without a rule here.
    """

    value: Any
    bound: Any
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Bound:
    """A symbolic map, field or derived term with arrays for its parameters.

    Made by `.bind(...)` of the symbolic object. `map` is that object, `parameters` its values by
    name, `kind` says what it is, `program` how it is computed.

    >>> from pushforward.symbolic import Matrix, Measure, Point, SymbolicMap, dot, gibbs
    >>> x, y, mu, A = Point("x"), Point("y"), Measure("mu"), Matrix("A")
    >>> attention = SymbolicMap(gibbs(y, y, mu, energy=dot(x, A @ y)), x, mu).bind(A=np.eye(1))
    >>> attention([[-1.0], [1.0]], [0.5, 0.5], [[1.0]]).round(6).tolist() == [[np.tanh(1).round(6)]]
    True
    >>> attention
    Bound(map with A (1, 1))
    """

    map: Any
    parameters: Mapping[str, Any]
    program: Program
    eager: bool = field(default=False, kw_only=True)

    @property
    def kind(self) -> str:
        """What the term is: "map", "field", "jacobian", "flat_derivative", ..."""
        return self.map.kind

    @cached_property
    def point_names(self) -> tuple[str, ...]:
        """The names of the point arguments in the order of the dimensions of the values."""
        return tuple(point.name for point in (self.map.x, *self.map.points))

    @cached_property
    def dim_in(self) -> int | None:
        """The dimension of the points, where a parameter determines it."""
        return next(_dimensions(self.program, self._shapes), None)

    @cached_property
    def dim_out(self) -> int | None:
        """The number of components of a value of a map or field, where it is determined."""
        if self.dim_in is None or self.program.rank != 1:
            return None
        zeros = np.zeros((1, self.dim_in))
        inputs = Inputs(
            {name: zeros for name in self.point_names},
            {nu.name: (zeros, np.ones(1)) for nu in (self.map.mu, *self.map.others)},
            {**self.parameters, **{name: np.zeros(()) for name in self._time_name}},
        )
        return inputs.shapes(self.program)[self.program.result.index][0]

    @cached_property
    def _further_names(self) -> tuple[str, ...]:
        """What a call takes by name: points, the time, and further measures."""
        measures = (nu.name for nu in self.map.others)
        return (*self.point_names[1:], *self._time_name, *measures)

    @property
    def _time_name(self) -> tuple[str, ...]:
        return () if self.map.time is None else (self.map.time.name,)

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in self.parameters.items()}

    def __call__(
        self,
        points: Any,
        weights: Any,
        x: Any,
        *,
        engine: str = "auto",
        dtype: Any = None,
        **points_by_name: Any,
    ) -> Any:
        """The values at queries x of the measure `sum_i weights[i] delta_{points[i]}`.

        Args:
            points: (n, d) the atoms, of any array library.
            weights: (n,) >= 0, of positive sum, which need not be one; atoms of weight zero count
                for nothing. None gives each atom 1/n.
            x: (m, d) the queries; (d,) is one query.
            engine: "auto", "native" (compiled C), "cuda", "numpy", "reference" or "mpmath"; see
                `engine_status`.
            dtype: what to compute in and return, by default the floating type of the points.
            points_by_name: the further points of a derived term, (k, d) each, by their names; the
                time of a field that depends on it; and further measures, pairs of points and
                weights.

        Returns:
            An array of the library of `points`: (m, d') for a map or field, (m, d', d) for a
            Jacobian, (m,) for a scalar, with a dimension k for each further point after m.

        Raises:
            ValueError: shapes that do not fit, numbers that are not finite, no mass, a point that
                is missing or unknown, an engine that is not there.
        """
        if dtype is None and engine in ("auto", "native"):
            fewest = 0 if self.eager or engine == "native" else PAIRS_FOR_NATIVE
            value = quick(self, points, weights, x, points_by_name, fewest)
            if value is not None:
                return value
        request = self.request(points, weights, x, dtype, points_by_name)
        return run(engine, request, self.eager)

    def explain(self, atoms: int, queries: int | None = None, *, dim: int | None = None) -> str:
        """What a call costs: its stages, their pairs, operations, functions such as exp, and bytes.

        Args:
            atoms: the atoms of each measure.
            queries: the rows of each point argument, by default as many.
            dim: the dimension of the points, where no parameter determines it.

        Raises:
            ValueError: the dimension is not determined.

        >>> from pushforward.symbolic import Measure, Point, SymbolicMap, dot, gibbs
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> attention = SymbolicMap(gibbs(y, y, mu, energy=dot(x, y)), x, mu).bind()
        >>> print(attention.explain(10, 10, dim=3))
        stage 1 along x: 10 rows, 100 pairs of mu; cumulant; 1600 flops, 100 functions, 720 bytes
        in all: 1600 flops, 100 functions, 720 bytes between stages
        """
        d = dim or self.dim_in
        if d is None:
            raise ValueError("expected dim=, since no parameter determines the dimension")
        rows = np.broadcast_to(np.ones(1), (queries or atoms, d))
        measures = (self.map.mu, *self.map.others)
        inputs = Inputs(
            {name: rows for name in self.point_names},
            {nu.name: (np.broadcast_to(np.ones(1), (atoms, d)), None) for nu in measures},
            {**self.parameters, **{name: np.zeros(()) for name in self._time_name}},
        )
        counts = dict.fromkeys(self.point_names, queries or atoms)
        counts |= {nu.name: atoms for nu in measures}
        return explain(self.program, inputs.shapes(self.program), counts)

    def prepared(self) -> "Bound":
        """The same, whose `auto` takes compiled C for few points too, from the first call on.

        Otherwise `auto` compiles for many pairs of points alone; without a compiler never.
        """
        return replace(self, eager=True)

    def batch(
        self, items: Sequence[tuple[Any, Any, Any]], *, engine: str = "auto"
    ) -> list[np.ndarray]:
        """The values for many small measures in one call of compiled C.

        Args:
            items: triples (points (n, d), weights (n,) or None, x (m, d)), their sizes as they
                like and their dimension and floating type one; NumPy arrays.
            engine: "auto" and "native" make one call, "cuda" one launch a step, another engine one
                call an item.

        Returns:
            An array (m, ...) for each item, with the same bits as `prepared()` gives it alone.

        Raises:
            ValueError: as for a call, with the number of the item.

        >>> from pushforward.symbolic import Measure, Point, SymbolicMap, integral
        >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
        >>> mean = SymbolicMap(x + integral(y, y, mu), x, mu).bind()
        >>> one, two = np.array([[1.0]]), np.array([[1.0], [3.0]])
        >>> [value.tolist() for value in mean.batch([(one, None, one), (two, None, one)])]
        [[[2.0]], [[3.0]]]
        """
        return batch(self, items, engine)

    def ragged(
        self, points: Any, weights: Any, x: Any, atoms: Any, queries: Any
    ) -> np.ndarray | None:
        """`batch` on arrays that hold all items one behind the other, the fastest form.

        Args:
            points: (total atoms, d) float32 or float64 NumPy array, contiguous.
            weights: (total atoms,) of the same type, positive.
            x: (total queries, d) of the same type.
            atoms: (items + 1,) where the atoms of each item begin, and the end.
            queries: (items + 1,) the same of the queries.

        Returns:
            The values (total queries, ...); None where there is no compiled form, or where a
            number is not finite or a weight not positive.
        """
        return ragged(self, points, weights, x, atoms, queries)

    def evaluate(
        self,
        points: Any,
        weights: Any,
        x: Any,
        *,
        engine: str = "auto",
        dtype: Any = None,
        **points_by_name: Any,
    ) -> Values:
        """The values of a call together with a bound on their rounding errors.

        Args:
            points, weights, x, engine, dtype, points_by_name: as for a call.

        Returns:
            `Values(value, bound, unknown)`, the first two of equal shapes; the bound is infinite
            where nothing is known, and `unknown` names the functions that are the reason.

        Raises:
            ValueError: as for a call.
        """
        request = self.request(points, weights, x, dtype, points_by_name)
        value = run(engine, request, self.eager)
        error = rounding_bound(
            self.program, request.on_numpy(), request.order, Precision.of(request.dtype)
        )
        if engine == "mpmath":
            from .multiprecision import apart, interpret_precisely

            # First-order errors are proportional to the unit; more digits show what is not.
            inputs = request.on_numpy()
            exact = interpret_precisely(self.program, inputs, request.order, 2 * DIGITS)
            error = error * 10.0 ** (20 - DIGITS) + apart(to_numpy(value), exact)
        elif engine == "reference" and request.dtype == np.float32:
            error = error + answer_error(to_numpy(value), Precision.of(np.float32))
        bound = request.answer(upward(error, request.dtype))
        return Values(value, bound, unknown(self.program))

    def at_precision(
        self, points: Any, weights: Any, x: Any, *, digits: int = DIGITS, **points_by_name: Any
    ) -> np.ndarray:
        """The values as mpmath numbers, computed with so many decimal digits; inputs are exact.

        Args:
            points, weights, x, points_by_name: as for a call.
            digits: >= 15.

        Returns:
            An object array of mpmath numbers, of the shape that a call returns.
        """
        from .multiprecision import interpret_precisely

        if not isinstance(digits, int) or digits < 15:
            raise ValueError(f"expected digits, an integer >= 15, got {digits!r}")
        request = self.request(points, weights, x, None, points_by_name)
        return interpret_precisely(self.program, request.on_numpy(), request.order, digits)

    def of_numbers(self, points: Any, weights: Any, x: Any, *, digits: int) -> np.ndarray:
        """The values at atoms and queries that are mpmath numbers themselves.

        Args:
            points, weights, x: object arrays of mpmath numbers, of the shapes of a call; weights
                are positive. They may lie closer together than float64 can tell.
            digits: >= 15, of every operation.

        Returns:
            An object array of mpmath numbers, of the shape that a call returns.
        """
        from .multiprecision import interpret_precisely

        inputs = Inputs(
            {self.point_names[0]: x}, {self.map.mu.name: (points, weights)}, self.parameters
        )
        return interpret_precisely(self.program, inputs, self.point_names, digits)

    def __repr__(self) -> str:
        shapes = [f"{name} {shape or 'scalar'}" for name, shape in self._shapes.items()]
        return f"{type(self).__name__}({self.kind}{' with ' if shapes else ''}{', '.join(shapes)})"

    def request(
        self, points: Any, weights: Any, x: Any, dtype: Any, others: Mapping[str, Any]
    ) -> Request:
        """The checked inputs of a call, ready for an engine."""
        if dtype is None and not others:
            request = self._plain_request(points, weights, x)
            if request is not None:
                return request
        measures = tuple(nu.name for nu in self.map.others)
        _check_names(self._further_names, others, self.kind)
        points = _rows(points, "points", atoms=True)
        named = {self.point_names[0]: _rows(x, "x", like=points)}
        named |= {name: _rows(others[name], name, like=points) for name in self.point_names[1:]}
        atoms, weights = _with_weight(points, _weights(weights, points))
        parameters = dict(self.parameters)
        parameters |= {name: _parameter(others[name], name, 0) for name in self._time_name}
        given = {self.map.mu.name: (atoms, weights)}
        given |= {name: _measure(others[name], name, points) for name in measures}
        inputs = Inputs(named, given, parameters)
        inputs.shapes(self.program)
        return Request(self.program, inputs, self.point_names, _dtype(dtype, atoms, named))

    def _plain_request(self, points: Any, weights: Any, x: Any) -> Request | None:
        """The request of a call that is as it should be; None where it needs a closer look.

        That is one measure and its queries alone, in NumPy arrays of one floating type, finite and
        with positive weights. With few points the closer look takes longer than the evaluation.
        """
        if self._further_names or type(points) is not np.ndarray or points.dtype.char not in "fd":
            return None
        if points.ndim != 2 or not points.size:
            return None
        if weights is None:
            weights = np.full(len(points), 1.0 / len(points), points.dtype)
        for array in (weights, x):
            if type(array) is not np.ndarray or array.dtype != points.dtype:
                return None
        if weights.shape != points.shape[:1] or x.ndim != 2 or not x.shape[1]:
            return None
        finite = all(np.isfinite(array).all() for array in (points, weights, x))
        if not finite or not (weights > 0).all():
            return None
        measures = {self.map.mu.name: (points, weights)}
        inputs = Inputs({self.point_names[0]: x}, measures, self.parameters)
        inputs.shapes(self.program)
        return Request(self.program, inputs, self.point_names, points.dtype)


class BoundField(Bound):
    """A velocity field with arrays for its parameters; it has a flow.

    >>> from pushforward.symbolic import Measure, Point, VelocityField, integral
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> consensus = VelocityField(integral(y - x, y, mu), x, mu).bind()
    >>> consensus.flow([[-1.0], [1.0]], [0.5, 0.5], 1.0).round(6).ravel().tolist()
    [-0.367879, 0.367879]
    """

    def flow(
        self,
        points: Any,
        weights: Any,
        time: float,
        *,
        steps: int = 100,
        method: str = "rk4",
        engine: str = "auto",
        dtype: Any = None,
        x: Any = None,
        trajectory: bool = False,
        times: Any = None,
        domain: Any = None,
        rtol: float = 1e-9,
        atol: float = 1e-11,
        progress: Any = None,
        checkpoint: Any = None,
        checkpoint_seconds: float = 60.0,
    ) -> Any:
        """The particles after a time: `x_i' = V(mu_t, x_i)` from the atoms of the measure.

        Args:
            points: (n, d) the particles at time zero.
            weights: (n,) their weights, which stay; None gives each 1/n.
            time: how long to go; negative goes backwards.
            steps: the number of equal steps; for "dopri5" it sets the first step only.
            method: "rk4", "euler" or "dopri5" (adaptive, to `rtol` and `atol`).
            engine, dtype: what evaluates the field, as for a call.
            x: (m, d) points that are carried and act on nothing.
            trajectory: return the states at the `steps + 1` equal times.
            times: return the states at these (k,) times between 0 and `time` instead.
            domain: a `Sphere`, or a `Product` with spheres, that no step and no stage leaves.
            progress: called after each step with the share of the time done.
            checkpoint, checkpoint_seconds: an NPZ file that a later call takes up again, with the
                same bits, and how often it is written; see `integrate`.

        Returns:
            (n, d), or (steps + 1, n, d) with `trajectory`, or (k, n, d) with `times`; with `x` a
            pair, the second for x.

        Raises:
            ValueError: as for a call, a flow that leaves the range of numbers, or a checkpoint of
                another flow.
        """

        def velocity(points: Any, weights: Any, x: Any, t: float) -> Any:
            at_time = dict.fromkeys(self._time_name, t)
            return self(points, weights, x, engine=engine, dtype=dtype, **at_time)

        return integrate(
            velocity,
            points if dtype is None else _in_dtype(points, dtype),
            weights,
            time,
            steps,
            method,
            x if dtype is None or x is None else _in_dtype(x, dtype),
            trajectory=trajectory,
            times=times,
            domain=domain,
            rtol=rtol,
            atol=atol,
            with_time=True,
            progress=progress,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            label=digest_of(self.program.digest, *self.parameters.values(), engine, dtype),
        )

    def flow_derivatives(self, points: Any, weights: Any, time: float, **options: Any) -> Any:
        """The flow with its Jacobian, volume, linearisation and derivative in the measure.

        The same as `numeric.flow_derivatives(self, points, weights, time, **options)`.
        """
        from .variations import flow_derivatives

        return flow_derivatives(self, points, weights, time, **options)


def _in_dtype(points: Any, dtype: Any) -> Any:
    points = real_array(points, "points")
    xp = namespace(points)
    return xp.astype(points, getattr(xp, _dtype(dtype, points, {}).name))


def bind_term(formula: Any, parameters: Mapping[str, Any]) -> Bound:
    """A symbolic map, field or derived term with numbers for its parameters.

    Args:
        formula: what `pushforward.symbolic` makes: it has a term, a kind, points and parameters.
        parameters: a number, vector or matrix for each parameter, by name; kept as given.

    Raises:
        ValueError: a value that is missing, unknown, not finite, or of the wrong rank.
        TypeError: a value that is not real.
        NotImplementedError: a head without a numerical meaning; the message names it.

    >>> from pushforward.symbolic import Measure, Point, Scalar, SymbolicMap, integral
    >>> x, y, mu, c = Point("x"), Point("y"), Measure("mu"), Scalar("c")
    >>> bound = bind_term(SymbolicMap(x + c * integral(y, y, mu), x, mu), {"c": 0.5})
    >>> bound([[2.0], [4.0]], None, [[1.0]]).tolist()
    [[2.5]]
    """
    from .lowering import lower, parameter_ranks

    ranks = parameter_ranks(formula)
    _check_names(tuple(ranks), parameters, formula.kind, "parameter")
    values = {name: _parameter(parameters[name], name, rank) for name, rank in ranks.items()}
    made = BoundField if formula.kind == "field" else Bound
    if formula.directions:
        from .tensors import BoundTensor

        made = BoundTensor
    return made(formula, values, lower(formula.term))


def _check_names(
    wanted: tuple[str, ...], given: Mapping[str, Any], kind: str, what: str = "point"
) -> None:
    listed = ", ".join(wanted) or "none"
    for name in given:
        if name not in wanted:
            raise ValueError(f"expected for this {kind} the {what}s: {listed}; got {name}")
    for name in wanted:
        if name not in given:
            raise ValueError(f"expected a value for the {what} {name} of this {kind}; pass {name}=")


def _parameter(value: Any, name: str, rank: int) -> Any:
    value = real_array(value, f"parameter {name}")
    if value.ndim != rank:
        kind = ("a number", "a vector (d,)", "a matrix (rows, columns)")[rank]
        raise ValueError(f"expected {kind} for parameter {name}, got shape {tuple(value.shape)}")
    if 0 in value.shape:
        raise ValueError(f"expected components in parameter {name}, got shape {tuple(value.shape)}")
    return _finite(value, f"parameter {name}")


def _finite(array: Any, name: str) -> Any:
    xp = namespace(array)
    if not bool(xp.all(xp.isfinite(array))):
        raise ValueError(f"expected finite {name}, got NaN or infinity in it")
    return array


def _rows(value: Any, name: str, *, like: Any = None, atoms: bool = False) -> Any:
    rows = real_array(value, name, like=like)
    if like is not None:
        namespace(like, rows)
    if rows.ndim == 1 and not atoms:
        rows = rows[None, :]
    if rows.ndim != 2 or rows.shape[1] == 0 or (atoms and rows.shape[0] == 0):
        hint = f"; use {name}[:, None] for points on a line" if rows.ndim == 1 else ""
        raise ValueError(f"expected {name} of shape (n, d), got {tuple(rows.shape)}{hint}")
    return _finite(rows, name)


def _weights(weights: Any, points: Any) -> Any:
    xp, n = namespace(points), points.shape[0]
    if weights is None:
        device = array_api_compat.device(points)
        return xp.full((n,), 1.0 / n, dtype=points.dtype, device=device)
    weights = real_array(weights, "weights", like=points)
    namespace(points, weights)
    if tuple(weights.shape) != (n,):
        raise ValueError(f"expected weights of shape ({n},), got {tuple(weights.shape)}")
    if bool(xp.any(_finite(weights, "weights") < 0)):
        raise ValueError(f"expected weights >= 0, got {float(xp.min(weights)):.6g}")
    if not bool(xp.any(weights > 0)):
        raise ValueError("expected weights of positive sum, got zeros alone")
    return weights


def _measure(given: Any, name: str, like: Any) -> tuple[Any, Any]:
    """The atoms and weights of a further measure."""
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ValueError(f"expected for the measure {name} a pair of points and weights")
    atoms = _rows(given[0], name, like=like, atoms=True)
    return _with_weight(atoms, _weights(given[1], atoms))


def _with_weight(points: Any, weights: Any) -> tuple[Any, Any]:
    """The atoms that count."""
    xp = namespace(points)
    if bool(xp.all(weights > 0)):
        return points, weights
    kept = xp.nonzero(weights > 0)[0]
    return xp.take(points, kept, axis=0), xp.take(weights, kept, axis=0)


def _dtype(dtype: Any, points: Any, named: Mapping[str, Any]) -> np.dtype:
    if dtype is None:
        xp = namespace(points)
        # torch names its types torch.float32
        dtype = str(xp.result_type(points, *named.values())).rpartition(".")[2]
    try:
        wanted = np.dtype(dtype)
    except TypeError:
        raise ValueError(f"expected a dtype that NumPy knows, got {dtype!r}") from None
    if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"expected dtype float32 or float64, got {wanted}")
    check_type(points, wanted.name)
    return wanted


def _dimensions(program: Program, shapes: Mapping[str, tuple[int, ...]]):
    """The dimensions of points that parameters ask for, where they meet a point directly."""
    for instruction in program.instructions:
        if instruction.op not in ("matvec", "dot", "add"):
            continue
        operands = [program.instructions[use.index] for use in instruction.operands]
        if any(operand.op in ("point", "atoms") for operand in operands):
            for operand in operands:
                if operand.op == "parameter":
                    yield shapes[str(operand.attributes[0])][-1]
