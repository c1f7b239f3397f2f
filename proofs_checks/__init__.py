if "." not in __name__:
    raise ImportError(
        "import pushforward.proofs_checks, not proofs_checks: install the package first "
        "(pip install .)"
    )

from .constants import Constants as Constants, constants as constants
from .derivation import Proof as Proof, Refusal as Refusal, Step as Step
from .enclosure import enclosure as enclosure
from .growth import Growth as Growth, growth as growth
from .ledger import LEDGER as LEDGER, Theorem as Theorem
from .prove import prove as prove
