"""How much a little training does: onset, size and reach of the damage, and what foretells it.

Tables are [trained, run, look, item]: for each example that a model was trained on and each run of
that training, the harm of every measured item at every look. Look 0 is before any training.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.gates import LEVEL
from fairlead.stats.arrays import CONFIDENCE, Clusters, same_length
from fairlead.stats.gates import harm_p
from fairlead.stats.means import mean_estimate
from fairlead.stats.significance import benjamini_hochberg

Table = NDArray[np.float64]


def damage(harm: Table) -> Table:
    """[..., look, item] the rise of each item's harm since look 0."""
    return harm - harm[..., :1, :]


def onset(
    harm: Table, steps: tuple[int, ...], margin: float, *, clusters: Clusters | None = None
) -> float:
    """First look at which the mean damage surely exceeds a margin (one-sided, 95 %).

    Args:
        harm: [look, item] of one run.
        steps: of the looks.
        margin: damage that is accepted.
        clusters: [item].

    Returns:
        The step; infinity where it never does.
    """
    same_length(harm=harm, steps=np.array(steps))
    risen = damage(harm)
    for step, row in zip(steps[1:], risen[1:], strict=True):
        if mean_estimate(row, clusters=clusters, level=LEVEL).low > margin:
            return float(step)
    return float("inf")


def onsets(
    harm: Table, steps: tuple[int, ...], margin: float, *, clusters: Clusters | None = None
) -> Table:
    """[trained, run] onset of every run."""
    return np.array([[onset(run, steps, margin, clusters=clusters) for run in own] for own in harm])


def area(harm: Table, steps: tuple[int, ...]) -> Table:
    """[...] mean damage over the training, by trapezoids between looks; from [..., look, item].

    Raises:
        DataError: the looks do not rise from step 0.
    """
    times = np.array(steps, dtype=np.float64)
    if len(times) < 2 or times[0] != 0 or (np.diff(times) <= 0).any():
        raise DataError(
            "no damage without looks", expected="steps that rise from 0", got=str(steps)
        )
    return np.trapezoid(damage(harm).mean(-1), times, axis=-1) / times[-1]


def spread(
    harm: Table,
    categories: NDArray[np.str_],
    trained: NDArray[np.str_],
    *,
    clusters: Clusters | None = None,
) -> list[tuple[str, Estimate, float]]:
    """Damage at the last look by category, each in runs that were trained on another one.

    Args:
        harm: [trained, run, look, item].
        categories: [item].
        trained: [trained] category of the example.
        clusters: [item].

    Returns:
        Category, mean damage, and p-value of harm adjusted for their number (Benjamini-Hochberg).
        Categories with fewer than two independent items are left out.
    """
    last = damage(harm)[:, :, -1, :].mean(1)
    keys = np.arange(len(categories)) if clusters is None else np.asarray(clusters)
    found: list[tuple[str, Estimate]] = []
    for category in sorted(set(categories.tolist())):
        items, elsewhere = categories == category, trained != category
        if len(set(keys[items].tolist())) > 1 and elsewhere.any():
            values = last[np.ix_(elsewhere, items)].mean(0)
            found.append((category, mean_estimate(values, clusters=keys[items])))
    if not found:
        return []
    adjusted = benjamini_hochberg([harm_p(estimate) for _, estimate in found])
    return [(name, e, float(p)) for (name, e), p in zip(found, adjusted, strict=True)]


def susceptibility(initial: Table, starts: Table) -> Estimate:
    """Rank correlation of what a model already leaned to and how soon training takes effect.

    Args:
        initial: [trained] probability of the bad answer before training.
        starts: [trained, run] onsets; runs without one rank last.

    Returns:
        Spearman's rho of `initial` with the median onset, negative where leaning makes it sooner;
        the interval is Fisher's with the variance of Bonett and Wright (2000). Undefined for fewer
        than five examples or where either does not vary.
    """
    middle = np.median(np.where(np.isfinite(starts), starts, 1e12), axis=1)
    known = np.isfinite(initial)
    initial, middle = initial[known], middle[known]
    n = len(initial)
    nothing = float("nan")
    method = "Spearman's rank correlation, Fisher interval (Bonett and Wright)"
    unknown = Estimate(value=nothing, low=nothing, high=nothing, n=n, method=method)
    if n < 5 or len(set(initial.tolist())) < 2 or len(set(middle.tolist())) < 2:
        return unknown
    rho = float(stats.spearmanr(stats.rankdata(initial), stats.rankdata(middle))[0])  # pyright: ignore
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * np.sqrt((1 + rho**2 / 2) / (n - 3))
    centre = np.arctanh(np.clip(rho, -1 + 1e-9, 1 - 1e-9))
    low, high = np.tanh([centre - half, centre + half]).tolist()
    return Estimate(value=rho, low=min(low, rho), high=max(high, rho), n=n, method=method)
