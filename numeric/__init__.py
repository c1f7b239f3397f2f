if "." not in __name__:
    raise ImportError(
        "import pushforward.numeric, not numeric: install the package first (pip install .)"
    )

from .batch_flows import FlowEstimate as FlowEstimate, estimate_flow as estimate_flow
from .bound import (
    Bound as Bound,
    BoundField as BoundField,
    Values as Values,
    bind_term as bind_term,
)
from .domain_texts import parse_domain as parse_domain
from .domains import (
    AbstractDomain as AbstractDomain,
    Ball as Ball,
    Box as Box,
    FiniteSet as FiniteSet,
    Product as Product,
    Simplex as Simplex,
    Sphere as Sphere,
)
from .engines import engine_status as engine_status
from .ensembles import Ensemble as Ensemble, Evaluation as Evaluation
from .flows import integrate as integrate
from .measures import DiscreteMeasure as DiscreteMeasure
from .random_batches import Estimate as Estimate
from .tensors import BoundTensor as BoundTensor, BoundTokenJacobian as BoundTokenJacobian
from .trajectories import Trajectory as Trajectory
from .transport import Transport as Transport, wasserstein as wasserstein
from .transport_bounds import (
    TransportBounds as TransportBounds,
    wasserstein_bounds as wasserstein_bounds,
)
from .variations import FlowDerivatives as FlowDerivatives, flow_derivatives as flow_derivatives
