"""Times of contenders in the same rounds, compared."""

import statistics
from collections.abc import Sequence


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float, float]:
    """Median, least and largest of their times in ours, each within a round.

    >>> ratio([2.0, 6.0, 3.0], [1.0, 2.0, 3.0])
    (2.0, 1.0, 3.0)
    """
    ratios = sorted(a / b for a, b in zip(theirs, ours, strict=True))
    return statistics.median(ratios), ratios[0], ratios[-1]
