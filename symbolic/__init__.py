if "." not in __name__:
    raise ImportError(
        "import pushforward.symbolic, not symbolic: install the package first (pip install .)"
    )

from . import library as library, terms as terms
from .binders import (
    Binder as Binder,
    Cumulant as Cumulant,
    Integral as Integral,
    LogPartition as LogPartition,
    Pushforward as Pushforward,
    covariance as covariance,
    expectation as expectation,
    gibbs as gibbs,
    integral as integral,
    mass as mass,
)
from .canonical import canonical as canonical, digest as digest, read as read
from .constructors import (
    block as block,
    component as component,
    diagonal as diagonal,
    dot as dot,
    elementwise as elementwise,
    norm as norm,
    norm2 as norm2,
    outer as outer,
    stack as stack,
)
from .derivatives import Derivatives as Derivatives, derive as derive
from .derived import DerivedTerm as DerivedTerm
from .expansion import expanded as expanded, vanishes as vanishes
from .extrema import Supremum as Supremum, infimum as infimum, supremum as supremum
from .gateaux import (
    Along as Along,
    MassAt as MassAt,
    NotDerivable as NotDerivable,
    gateaux as gateaux,
)
from .heads import RegisteredHead as RegisteredHead, register as register
from .hierarchy import Hierarchy as Hierarchy, bbgky as bbgky
from .invariants import Decision as Decision, Gradient as Gradient
from .linear import gradient_in as gradient_in, jacobian_in as jacobian_in
from .maps import SymbolicMap as SymbolicMap, VelocityField as VelocityField
from .matrices import (
    Diagonal as Diagonal,
    Identity as Identity,
    MatMul as MatMul,
    MatrixScaled as MatrixScaled,
    MatrixSum as MatrixSum,
    MatVec as MatVec,
    Outer as Outer,
    Rows as Rows,
    RowStack as RowStack,
    Trace as Trace,
    Transpose as Transpose,
    ZeroMatrix as ZeroMatrix,
)
from .scalars import Component as Component, Dimension as Dimension, Dot as Dot
from .simplification import simplify as simplify
from .substitution import substitute as substitute
from .terms import (
    BoundPoint as BoundPoint,
    FreshPoint as FreshPoint,
    Matrix as Matrix,
    MatrixTerm as MatrixTerm,
    Measure as Measure,
    MeasureTerm as MeasureTerm,
    Parameter as Parameter,
    Point as Point,
    Scalar as Scalar,
    Vector as Vector,
    VectorTerm as VectorTerm,
)
from .tokens import TokenJacobian as TokenJacobian
from .vectors import (
    Basis as Basis,
    Block as Block,
    Elementwise as Elementwise,
    Ones as Ones,
    Scaled as Scaled,
    Stack as Stack,
    VectorSum as VectorSum,
    Zero as Zero,
)
from .vlasov import Statement as Statement, Vlasov as Vlasov
