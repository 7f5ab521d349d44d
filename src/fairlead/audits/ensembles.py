"""Where a reward has several members: how far they disagree, and what combining them is worth.

Coste et al. 2023, arXiv:2310.02743. A policy that moves on to replies on which the members disagree
leaves what they learnt, and that is seen without any gold. With gold at hand, best-of-n by each way
of combining the members says which of them would have been the safer one to optimise.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fairlead.core.results import Figure, Series, Table
from fairlead.functional.ensembles import (
    ensemble_mean,
    lower_bound,
    variance_penalised,
    worst_case,
)
from fairlead.rewards.base import Scored
from fairlead.stats.best_of_n import expected_best_of_n
from fairlead.stats.means import mean_estimate, paired_difference

Array = NDArray[np.float64]

ALONE = "one member, the mean over all"
COMBINED: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": ensemble_mean,
    "worst member": worst_case,
    "mean less one deviation": partial(lower_bound, k=1.0),
    "mean less half the variance": partial(variance_penalised, coefficient=0.5, unbiased=False),
}
"""Ways to make one score of several; the last as Coste et al. have it for best-of-n."""


def members_of(scored: Scored) -> Array | None:
    """[member, reply] what each member of an ensemble said; None where there are no two."""
    rows = [row for name, row in scored.parts.items() if re.fullmatch(r"member_\d+", name)]
    return torch.stack(rows).double().numpy() if len(rows) > 1 else None


def disagreement(root_kl: Sequence[float], spread: Array) -> Figure:
    """How the members' spread grows along the path.

    Args:
        root_kl: [point] √KL, in √nats per reply.
        spread: [point, prompt] deviation over the members.
    """
    order = np.argsort(root_kl, kind="stable")
    line = Series.of(
        "deviation over members",
        tuple(root_kl[i] for i in order),
        [mean_estimate(spread[i]) for i in order],
    )
    return Figure(
        title="Disagreement of the ensemble over √KL",
        x_label="√KL to the baseline (√nats per reply)",
        y_label="deviation over the members, per reply",
        series=(line,),
        caption="Members that disagree more are asked about what none of them learnt: a sign of "
        "over-optimisation that needs no gold. Members of one pretrained body share its errors, "
        "so agreement is no proof. Bands are 95 % intervals over prompts.",
    )


def combining(
    members: Array, gold: Array, numbers: Sequence[int], root_kl: Sequence[float]
) -> tuple[Figure, Table]:
    """What the baseline's best-of-n is worth in gold by each way of combining the members.

    Args:
        members: [member, prompt, reply] their scores of the baseline's replies; each is brought to
            mean 0 and deviation 1 over all of them, or the widest would rule.
        gold: [prompt, reply] in deviations of the baseline's replies.
        numbers: how many replies compete, 1 first.
        root_kl: [number] √KL of best-of-n, in √nats.
    """
    scores = np.stack([_standard(own).ravel() for own in members])

    def worth(picked: Array) -> Array:
        by = picked.reshape(gold.shape)
        return np.array(
            [[expected_best_of_n(p, g, n) for p, g in zip(by, gold, strict=True)] for n in numbers]
        )

    found = {ALONE: np.mean([worth(own) for own in scores], axis=0)} | {
        name: worth(combine(torch.from_numpy(scores)).numpy()) for name, combine in COMBINED.items()
    }
    return _curves(found, root_kl), _at_most(found, numbers[-1])


def _standard(scores: Array) -> Array:
    return (scores - scores.mean()) / (scores.std() or 1.0)


def _curves(found: dict[str, Array], root_kl: Sequence[float]) -> Figure:
    return Figure(
        title="Gold of best-of-n, by how the members are combined",
        x_label="√KL to the baseline (√nats per reply)",
        y_label="gold gain (deviations of the baseline's replies)",
        series=tuple(
            Series.of(name, tuple(root_kl), [paired_difference(row, table[0]) for row in table])
            for name, table in found.items()
        ),
        caption="Bands are 95 % intervals over prompts.",
    )


def _at_most(found: dict[str, Array], n: int) -> Table:
    rows: list[tuple[str | float | int | None, ...]] = []
    for name, table in found.items():
        gain = paired_difference(table[-1], table[0])
        more = paired_difference(table[-1], found[ALONE][-1])
        rows.append(
            (name, *(getattr(e, k) for e in (gain, more) for k in ("value", "low", "high")))
        )
    part = ("", ", low", ", high")
    heads = [f"{what}{end}" for what in ("gold gain", "more than one member") for end in part]
    return Table(
        title=f"Best of {n}, by how the members are combined",
        columns=("score picked by", *heads),
        rows=tuple(rows),
    )
