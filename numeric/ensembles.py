"""Large ensembles: the targets in shards over threads, devices or machines, the sources to all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import array_api_compat
import numpy as np

from .arrays import devices_like, is_array, namespace, on_processor, to_numpy
from .bound import Bound, BoundField
from .engines import Request, run
from .native import processors
from .random_batches import GROUP, Batches, Estimate, estimate_group, refuse_extrema
from .registered import FUNCTIONS, RegisteredFunction, used
from .schedule import schedule
from .shards import Cluster, Devices, Job, Place, Progress, Threads

_PAIRS = 2**29
_LEAST_ROWS = 2048


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A bound map or field at many targets, in shards of rows.

    Every shard is one call of the map with the whole measure and some of the targets. So the
    values are those of calls on the shards: equal inputs, `rows` and engine give equal bits,
    however many threads, devices or machines of one kind take part, in whatever order. What does
    not depend on the targets, as the inner layer of a composition, is made anew in every shard;
    shards are larger then.

    Args:
        bound: a map, a field or a derived term with its parameters.
        client: a `dask.distributed` client; the shards go to its workers, and those of a worker
            that is lost go to others.
        devices: devices of the array library; by default all of the kind on which the points are.
        workers: the number of threads on a processor, by default one for each.
        rows: the targets of a shard; by default a number that depends on the sizes alone.
        engine, dtype: as for a call of the map.
        progress: called after each shard with the share that is done, from 0 to 1.

    Raises:
        TypeError: no bound map, or no client.
        ValueError: rows or workers below one.

    >>> import numpy as np
    >>> from pushforward.symbolic import Measure, Point, VelocityField, integral
    >>> x, y, mu = Point("x"), Point("y"), Measure("mu")
    >>> field = VelocityField(integral(y - x, y, mu), x, mu).bind()
    >>> swarm = Ensemble(field, rows=2)
    >>> points = np.array([[-1.0], [0.0], [1.0]])
    >>> swarm(points, None, points).round(12).ravel().tolist()
    [1.0, 0.0, -1.0]
    >>> swarm.flow(points, None, 1.0).round(6).ravel().tolist()
    [-0.367879, 0.0, 0.367879]
    """

    bound: Bound
    client: Any = field(default=None, kw_only=True)
    devices: Sequence[Any] | None = field(default=None, kw_only=True)
    workers: int | None = field(default=None, kw_only=True)
    rows: int | None = field(default=None, kw_only=True)
    engine: str = field(default="auto", kw_only=True)
    dtype: Any = field(default=None, kw_only=True)
    progress: Progress | None = field(default=None, kw_only=True)

    def __post_init__(self):
        if type(self.bound) not in (Bound, BoundField):
            raise TypeError(f"expected a bound map or field, got {type(self.bound).__name__}")
        for name in ("workers", "rows"):
            value = getattr(self, name)
            if value is not None and not (hasattr(value, "__index__") and value >= 1):
                raise ValueError(f"expected {name}, an integer >= 1, got {value!r}")
        if self.client is not None:
            Cluster(self.client)  # refuses what is no client

    def __call__(self, points: Any, weights: Any, x: Any, **more: Any) -> Any:
        """The values at x, as a call of the map gives them.

        Args:
            points, weights, x, more: as for a call of the map.
        """
        return self.start(points, weights, x, **more).run(self.progress)

    def start(self, points: Any, weights: Any, x: Any, **more: Any) -> "Evaluation":
        """The same as an object that outlives an interruption.

        Returns:
            An `Evaluation`; its `run()` gives the values, and goes on where it was interrupted.
        """
        request = self._request(points, weights, x, more)
        rows = self.rows or _shard_rows(request)
        how = self.engine, self.bound.eager
        return Evaluation(self._job(_values, (request, how), shards(request, rows)))

    def estimate(
        self,
        points: Any,
        weights: Any,
        x: Any,
        *,
        batch: int = 1024,
        batches: int = 16,
        seed: int = 0,
        **more: Any,
    ) -> Estimate:
        """The values at x from random batches of the atoms, for measures of very many.

        Targets are estimated `rows` at a time, those of a shard from the same atoms.

        Args:
            points, weights, x, more: as for a call of the map.
            batch: the atoms of a batch.
            batches: the batches of a target, two or more; their scatter is the error.
            seed: an integer >= 0; the same seed, sizes and `rows` draw the same atoms.

        Returns:
            An `Estimate` with `value`, standard `error` and `bias`. The bias is None for a plain
            sum over the atoms; a Gibbs mean is a ratio of sums, and its bias, O(1/batch) for one
            batch, is estimated.

        Raises:
            ValueError: as for a call, numbers that are too small, and a supremum over the atoms.

        Source: Jin, Li & Liu (2020), arXiv 1812.10575.
        """
        for name, value, least in (("batch", batch, 1), ("batches", batches, 2), ("seed", seed, 0)):
            if not (hasattr(value, "__index__") and value >= least):
                raise ValueError(f"expected {name}, an integer >= {least}, got {value!r}")
        request, owner = self._request(points, weights, x, more), self.bound.map.mu.name
        refuse_extrema(request.program)
        cumulative = np.cumsum(to_numpy(request.inputs.measures[owner][1]), dtype=np.float64)
        how = Batches(owner, int(batch), int(batches), int(seed), self.engine, cumulative)
        pieces = list(enumerate(shards(request, self.rows or GROUP)))
        parts = self._job(estimate_group, (request, how), pieces).run(self.progress)
        value, error, bias = (_joined(list(column)) for column in zip(*parts, strict=True))
        return Estimate(value, error, bias, how.batch, how.batches, how.seed)

    def flow(self, points: Any, weights: Any, time: float, **options: Any) -> Any:
        """The particles after a time, see `BoundField.flow`, whose options it takes.

        Raises:
            TypeError: the bound map is no field.
        """
        if not isinstance(self.bound, BoundField):
            raise TypeError(f"expected a velocity field for a flow, got a {self.bound.kind}")
        bound = self.bound
        sharded = _ShardedField(
            bound.map, bound.parameters, bound.program, eager=bound.eager, ensemble=self
        )
        same = {"engine": self.engine, "dtype": self.dtype, "progress": self.progress}
        return sharded.flow(points, weights, time, **{**same, **options})

    def _request(self, points: Any, weights: Any, x: Any, more: Mapping[str, Any]) -> Request:
        return self.bound.request(points, weights, x, self.dtype, more)

    def _job(self, task: Any, common: tuple[Request, Any], pieces: list[Any]) -> Job:
        """The task for every piece, where this ensemble does its work."""
        request, options = common
        place = self._place(request.like)
        # The targets go with the pieces; one row keeps the shapes.
        bare = request.at(request.like[:1, ...])
        return Job(_Registering(task, used(request.program)), (bare, options), pieces, place)

    def _place(self, like: Any) -> Place:
        if self.client is not None:
            return Cluster(self.client)
        devices = devices_like(like) if self.devices is None else self.devices
        if self.devices is None and len(devices) < 2 and on_processor(like):
            # A device does one shard at a time.
            one = self.engine.startswith("cuda")
            return Threads(1 if one else self.workers or processors())
        return Devices(devices, _moved, array_api_compat.device(like))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The values of an ensemble at many targets, shard by shard.

    Made by `Ensemble.start`. What is finished is kept when `run` is interrupted or fails.
    """

    job: Job

    @property
    def total(self) -> int:
        """The number of shards."""
        return self.job.total

    @property
    def finished(self) -> int:
        """The number of shards that are done."""
        return self.job.finished

    def run(self, progress: Progress | None = None) -> Any:
        """The values, an array as a call of the map gives it; shards that are done stay.

        Args:
            progress: called after each shard with the share that is done, from 0 to 1.
        """
        return _joined(self.job.run(progress))


@dataclass(frozen=True, eq=False, repr=False)
class _ShardedField(BoundField):
    """A field whose calls go to an ensemble, so that a flow is in shards."""

    ensemble: Ensemble = field(kw_only=True)

    def __call__(self, points, weights, x, *, engine="auto", dtype=None, **more):
        ensemble = replace(self.ensemble, engine=engine, dtype=dtype, progress=None)
        return ensemble(points, weights, x, **more)


def _joined(parts: list[Any]) -> Any:
    """Arrays one below the other, or None where they are None."""
    if len(parts) == 1 or parts[0] is None:
        return parts[0]
    return namespace(*parts).concat(parts, axis=0)


def shards(request: Request, rows: int) -> list[Any]:
    """The targets of a request, so many at a time."""
    x = request.like
    return [x[k : k + rows, ...] for k in range(0, max(int(x.shape[0]), 1), rows)]


def _moved(value: Any, device: Any) -> Any:
    """Whatever the pieces of a job hold, with its arrays on a device."""
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in value)
    if isinstance(value, Request):
        return value.on_device(device)
    return array_api_compat.to_device(value, device) if is_array(value) else value


def _values(common: tuple[Request, tuple[str, bool]], x: Any) -> Any:
    request, (engine, eager) = common
    return run(engine, request.at(x), eager)


@dataclass(frozen=True, slots=True)
class _Registering:
    """A task that knows the functions of the user in the process where it runs."""

    task: Any
    functions: tuple[RegisteredFunction, ...]

    def __call__(self, common: Any, piece: Any) -> Any:
        for function in self.functions:
            FUNCTIONS.setdefault(function.name, function)
        return self.task(common, piece)


def _shard_rows(request: Request) -> int:
    """About a second of work, and a multiple of what does not depend on the targets."""
    inputs = request.inputs
    atoms = max(len(a) for a, _ in inputs.measures.values())
    steps = [step for step in schedule(request.program).steps if step.pairs and step.axis]
    inner = max([inputs.count(s.axis) for s in steps if s.axis and s.axis.is_atoms], default=0)
    rows = max(_LEAST_ROWS, _PAIRS // atoms, 4 * inner)
    return -(-rows // 512) * 512
