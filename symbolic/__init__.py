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
from .derivatives import Derivatives as Derivatives, derive as derive
from .expansion import expanded as expanded, vanishes as vanishes
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
from .maps import (
    DerivedTerm as DerivedTerm,
    SymbolicMap as SymbolicMap,
    VelocityField as VelocityField,
)
from .simplification import simplify as simplify
from .substitution import substitute as substitute
from .terms import (
    Basis as Basis,
    Block as Block,
    BoundPoint as BoundPoint,
    Component as Component,
    Diagonal as Diagonal,
    Dimension as Dimension,
    Dot as Dot,
    Elementwise as Elementwise,
    FreshPoint as FreshPoint,
    Identity as Identity,
    MatMul as MatMul,
    Matrix as Matrix,
    MatrixScaled as MatrixScaled,
    MatrixSum as MatrixSum,
    MatrixTerm as MatrixTerm,
    MatVec as MatVec,
    Measure as Measure,
    MeasureTerm as MeasureTerm,
    Ones as Ones,
    Outer as Outer,
    Parameter as Parameter,
    Point as Point,
    Rows as Rows,
    RowStack as RowStack,
    Scalar as Scalar,
    Scaled as Scaled,
    Stack as Stack,
    Trace as Trace,
    Transpose as Transpose,
    Vector as Vector,
    VectorSum as VectorSum,
    VectorTerm as VectorTerm,
    Zero as Zero,
    ZeroMatrix as ZeroMatrix,
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
from .tokens import TokenJacobian as TokenJacobian
from .vlasov import Statement as Statement, Vlasov as Vlasov
