"""Which of n samples to answer with: what each way of choosing is worth, for every n."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.results import Figure, Series, Table
from fairlead.core.seeds import Seed
from fairlead.stats.best_of_n import expected_best_of_n
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.stats.pass_at_k import pass_at_k
from fairlead.stats.votes import expected_vote

MAJORITY = "majority"
ORACLE = "any right"


@dataclass(frozen=True)
class Judged:
    """Samples of a policy, [problem, sample], with what is known of each."""

    right: np.ndarray
    """1 where the sample is right, else 0."""
    answers: Sequence[Sequence[str]]
    """What each sample answers; empty where it answers nothing."""
    scores: Mapping[str, np.ndarray]
    """Each reward's scores."""


class Chosen(BaseModel):
    """How often each way of choosing among n samples answers each problem rightly."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sizes: tuple[int, ...]
    """Numbers of samples."""
    shares: dict[str, tuple[tuple[float, ...], ...]]
    """By way of choosing: [problem, size] expected share of right answers."""

    def at(self, chooser: str, size: int) -> np.ndarray:
        """Expected share of right answers to each problem."""
        return np.array(self.shares[chooser])[:, self.sizes.index(size)]


def choose(judged: Judged, sizes: Sequence[int], *, weigh: Sequence[str], seed: Seed) -> Chosen:
    """Every way of choosing on the same samples.

    Args:
        judged: the samples.
        sizes: how many samples there are to choose from.
        weigh: rewards whose scores also weigh votes.
        seed: of the orders in which samples vote.
    """
    problems, samples = judged.right.shape
    hits = judged.right.sum(axis=1).astype(int).tolist()
    shares: dict[str, Any] = {
        ORACLE: [[pass_at_k(samples, own, n) for n in sizes] for own in hits],
        MAJORITY: [_vote(judged, i, sizes, None, seed) for i in range(problems)],
    }
    for name in weigh:
        weights = judged.scores[name]
        shares[f"{name}, votes"] = [
            _vote(judged, i, sizes, weights[i], seed) for i in range(problems)
        ]
    for name, scores in judged.scores.items():
        shares[name] = [
            [expected_best_of_n(own, right, n) for n in sizes]
            for own, right in zip(scores, judged.right, strict=True)
        ]
    return Chosen(sizes=tuple(sizes), shares=shares)


def _vote(
    judged: Judged, problem: int, sizes: Sequence[int], weights: np.ndarray | None, seed: Seed
) -> list[float]:
    own = seed.child(problem)
    answers, right = judged.answers[problem], judged.right[problem]
    return expected_vote(answers, right, sizes, weights=weights, seed=own).tolist()


def level_estimates(chosen: Chosen) -> list[NamedEstimate]:
    """Share of problems answered rightly, for every way and size."""
    return [
        mean_estimate(chosen.at(name, size)).named(f"right/{name}/{size}")
        for name in chosen.shares
        for size in chosen.sizes
    ]


def gain_estimates(chosen: Chosen, baseline: str) -> list[NamedEstimate]:
    """Each way less the baseline at equal samples, paired by problem; from two samples on."""
    return [
        paired_difference(chosen.at(name, size), chosen.at(baseline, size)).named(
            f"gain_over_{baseline}/{name}/{size}"
        )
        for name in chosen.shares
        for size in chosen.sizes
        if name not in (baseline, ORACLE) and size > 1
    ]


def choice_figure(chosen: Chosen) -> Figure:
    """Share of right answers against the number of samples."""
    return Figure(
        title="Right answers by samples",
        x_label="samples per problem (log2)",
        y_label="share of held-out problems",
        series=tuple(
            series(name, chosen.sizes, [mean_estimate(chosen.at(name, n)) for n in chosen.sizes])
            for name in chosen.shares
        ),
        caption="Each way of choosing has the same samples. Where any is right is the most that "
        "choosing can reach. Bands are 95 % intervals over problems.",
    )


def choice_table(chosen: Chosen) -> Table:
    """One row for each way of choosing."""
    rows = tuple(
        (name, *(float(chosen.at(name, n).mean()) for n in chosen.sizes)) for name in chosen.shares
    )
    columns = ("choice", *(f"best of {n}" for n in chosen.sizes))
    return Table(title="Share of right answers by samples", columns=columns, rows=rows)


def series(label: str, sizes: Sequence[int], estimates: Sequence[Estimate]) -> Series:
    """Estimates against the number of samples, on a scale where each doubling is a step."""
    return Series.of(label, tuple(float(np.log2(n)) for n in sizes), estimates)
