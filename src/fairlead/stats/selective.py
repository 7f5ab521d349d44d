"""How good a model is where it may keep silent."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def selective_accuracy(chances: Floats, right: Floats, coverage: float = 0.8) -> float:
    """Accuracy on the share of cases of which the model is surest.

    Cases that tie at the border count in part, so that their order does not matter.

    Args:
        chances: [case] how sure it is.
        right: [case] 1 where it is right, 0 where not.
        coverage: share that is kept, above 0.
    """
    wanted = coverage * len(chances)
    order = np.sort(chances)[::-1]
    border = order[min(int(np.ceil(wanted - 1e-9)), len(order)) - 1]
    above, tied = chances > border, chances == border
    weights = above + tied * (wanted - above.sum()) / tied.sum()
    return float((weights * right).sum() / weights.sum())


def abstention_scores(right: Floats, abstained: NDArray[np.bool_], threshold: float) -> Floats:
    """[case] 1 for a right answer, -t / (1 - t) for a wrong one, 0 for none.

    Answering pays where a case's chance of being right is above t.

    Args:
        right: [case] 1 where it is right, 0 where not; without meaning where it abstained.
        abstained: [case] whether it gave no answer.
        threshold: t, from 0 to below 1.
    """
    answered = np.where(right == 1, 1.0, -threshold / (1 - threshold))
    return np.where(abstained, 0.0, answered)


def brier(chances: Floats, right: Floats) -> float:
    """Mean squared distance of chance and outcome (Brier 1950); 0 is perfect."""
    return float(np.mean((chances - right) ** 2))
