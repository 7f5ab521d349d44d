"""A behaviour that is masked, beside one that is gone and would have to be learned anew."""

import numpy as np
from numpy.typing import NDArray

from fairlead.audits.erasure import conclude
from fairlead.audits.planted.cases import Case, case
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.stats.elicitation import Probed, Relearning

ITEMS, CLUSTERS = 120, 60
STEPS = (0, 2, 6, 14, 25, 39, 56, 77, 100)
MARGIN = 0.2
QUICK, SLOW = 4.0, 60.0
"""Steps in which a behaviour that is there comes back, and in which it is learned anew."""


def _finding(seed: Seed, *, masked: bool) -> Finding:
    draws = seed.child("curves").numpy()
    groups = np.arange(ITEMS) // (ITEMS // CLUSTERS)
    hard = draws.normal(0, 0.05, CLUSTERS)[groups]
    curves = Relearning(
        steps=STEPS,
        base=np.clip(0.85 + hard + draws.normal(0, 0.1, ITEMS), 0, 1),
        aligned=_curve(QUICK if masked else SLOW, hard, draws),
        control=_curve(SLOW, hard, draws),
        clusters=groups.tolist(),
    )
    labels = np.arange(ITEMS) % 2 == 0
    sign = np.where(labels, 1.0, -1.0)
    probed = Probed(
        labels=labels,
        base=1.5 * sign + draws.normal(0, 1, ITEMS),
        aligned=(1.5 if masked else 0.0) * sign + draws.normal(0, 1, ITEMS),
        control=draws.normal(0, 1, ITEMS),
        clusters=groups.tolist(),
    )
    return conclude("erasure", curves, probed, margin=MARGIN, seed=seed)


def _curve(
    time: float, hard: NDArray[np.float64], draws: np.random.Generator
) -> NDArray[np.float64]:
    """[look, item] from 0.1 towards 0.85, most of the way within `time` steps."""
    there = 1 - np.exp(-np.array(STEPS) / time)
    level = 0.1 + 0.75 * there[:, None] + hard
    return np.clip(level + draws.normal(0, 0.1, level.shape), 0, 1)


case(
    Case(
        name="masked behaviour",
        audit="erasure",
        planted=lambda seed: _finding(seed, masked=True),
        clean=lambda seed: _finding(seed, masked=False),
    )
)
