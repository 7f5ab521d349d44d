"""How well a process reward model judges steps, and what its scores are good for."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from fairlead.core.estimates import Estimate
from fairlead.core.results import Table
from fairlead.core.seeds import Seed
from fairlead.data.steps import Neutral, encode_steps
from fairlead.models.reward_model import RewardModel
from fairlead.pipeline.reward_accuracy import FEWEST, Accuracy
from fairlead.records import StepLabels
from fairlead.rewards.process import score_steps
from fairlead.stats.calibration import area_under_curve, calibration_error
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.stats.proportions import clustered_proportion
from fairlead.stats.resampling import bootstrap

RIGHT = 0.5
"""Probability from which a step counts as right, in labels and in verdicts."""

SHOWN = 8
"""Places of steps that the table lists."""


@dataclass(frozen=True)
class _Solution:
    """One solution: probabilities and labels of its labelled steps."""

    chances: np.ndarray
    labels: np.ndarray
    group: str

    @property
    def first_error(self) -> int | None:
        """The first step that is labelled wrong."""
        return _first_wrong(self.labels)

    @property
    def found_error(self) -> int | None:
        """The first step that the model takes for wrong."""
        return _first_wrong(self.chances)


def measure_steps(
    model: RewardModel,
    records: Sequence[StepLabels],
    *,
    max_length: int,
    neutral: Neutral = "right",
    labels: Literal["steps", "outcome"] = "steps",
) -> Accuracy:
    """Verdicts on held-out steps, with opening prompts as clusters.

    For steps: accuracy beside "all steps are right", the area under the curve, how often the first
    error is found where it is (or its absence noticed), and the calibration error. For outcomes:
    accuracy and area under the curve of whole solutions, and how often the best-scored solution to
    a prompt is right beside one taken at random.
    """
    chat = model.chat_format()
    items, report = encode_steps(records, chat, max_length=max_length, neutral=neutral)
    logits = score_steps(model, items, tokens=8192)
    solutions = [
        _Solution(
            torch.sigmoid(own.double()).numpy(),
            np.array(item.labels),
            records[item.record].prompt.first_user_turn,
        )
        for item, own in zip(items, logits, strict=True)
    ]
    unit = "step" if labels == "steps" else "outcome"
    named = _verdicts(solutions, unit)
    named |= _localisation(solutions) if labels == "steps" else _picking(solutions)
    return Accuracy(
        tuple(e.named(n) for n, e in named.items()),
        (_by_place(solutions),) if labels == "steps" else (),
        (f"held-out solutions: {report}",),
    )


def _first_wrong(chances: np.ndarray) -> int | None:
    wrong = np.flatnonzero(chances < RIGHT)
    return int(wrong[0]) if len(wrong) else None


def _verdicts(solutions: Sequence[_Solution], unit: str) -> dict[str, Estimate]:
    chances = np.concatenate([s.chances for s in solutions])
    truth = (np.concatenate([s.labels for s in solutions]) >= RIGHT).astype(np.float64)
    groups = [s.group for s in solutions for _ in s.labels]
    right = (chances >= RIGHT) == (truth == 1)
    usual = truth == (truth.mean() >= RIGHT)
    named = {
        f"reward_model/{unit}_accuracy": clustered_proportion(right, groups),
        f"baseline/always_the_same_{unit}": clustered_proportion(usual, groups),
    }
    if len(set(groups)) < FEWEST:
        return named
    for name, statistic in (("auc", area_under_curve), ("calibration_error", calibration_error)):
        named[f"reward_model/{unit}_{name}"] = bootstrap(
            statistic,
            chances,
            truth,
            seed=Seed(0).child(name),
            clusters=groups,
            interval="percentile",
        )
    return named


def _localisation(solutions: Sequence[_Solution]) -> dict[str, Estimate]:
    groups = [s.group for s in solutions]
    hits = [s.first_error == s.found_error for s in solutions]
    named = {"reward_model/first_error_located": clustered_proportion(hits, groups)}
    wrong = [s for s in solutions if s.first_error is not None]
    if wrong:
        located = [s.first_error == s.found_error for s in wrong]
        own = [s.group for s in wrong]
        named["reward_model/first_error_located_in_wrong"] = clustered_proportion(located, own)
    return named


def _picking(solutions: Sequence[_Solution]) -> dict[str, Estimate]:
    """Best of the solutions to each prompt that has several, beside one taken at random."""
    by_prompt: dict[str, list[_Solution]] = defaultdict(list)
    for solution in solutions:
        by_prompt[solution.group].append(solution)
    several = [own for own in by_prompt.values() if len(own) > 1]
    if len(several) < 2:
        return {}
    truth = [np.array([float(s.labels[-1] >= RIGHT) for s in own]) for own in several]
    picks = [int(np.argmax([s.chances[-1] for s in own])) for own in several]
    best = np.array([own[pick] for own, pick in zip(truth, picks, strict=True)])
    random = np.array([own.mean() for own in truth])
    return {
        "reward_model/picked_solution_right": clustered_proportion(best, list(range(len(best)))),
        "baseline/random_solution_right": mean_estimate(random),
        "reward_model/picking_gain": paired_difference(best, random),
    }


def _by_place(solutions: Sequence[_Solution]) -> Table:
    """Calibration by the place of the step."""
    rows: list[tuple[int, int, float, float]] = []
    for place in range(SHOWN):
        here = [s for s in solutions if len(s.labels) > place]
        if here:
            stated = float(np.mean([s.chances[place] for s in here]))
            share = float(np.mean([s.labels[place] for s in here]))
            rows.append((place + 1, len(here), stated, share))
    columns = ("step", "solutions", "mean probability", "share right")
    return Table(title="Steps by their place", columns=columns, rows=tuple(rows))
