"""Process reward model: every step judged by itself.

Lightman et al. 2023, arXiv:2305.20050; labels from rollouts: Wang et al. 2023 (Math-Shepherd),
arXiv:2312.08935.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import Scores, StepBatch, Totals


class ProcessReward(Objective):
    """Binary classification at the end of each labelled step; labels may be probabilities.

    With a label on the last step alone it is an outcome reward model.
    """

    title: ClassVar[str] = "Process reward model"
    source: ClassVar[str] = "Lightman et al. 2023, arXiv:2305.20050"
    equation: ClassVar[str] = r"-\frac{1}{S}\sum_s l_s\log p_s + (1 - l_s)\log(1 - p_s)"
    choose: ClassVar[str] = (
        "For solutions in steps: says where a solution goes wrong, not only whether; with outcome "
        "labels alone it says whether."
    )
    batch: ClassVar[type[StepBatch]] = StepBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.STEPS})
    head: ClassVar[str] = "steps"

    kind: Literal["process_reward"] = "process_reward"

    def __call__(self, scores: Scores, batch: StepBatch, totals: Totals) -> Loss:
        """Mean over labelled steps."""
        assert scores.steps is not None
        labels = batch.labels.to(scores.steps.dtype)
        losses = F.binary_cross_entropy_with_logits(scores.steps, labels, reduction="none")
        metrics = {"loss/process_reward": average(losses)} | _verdicts(scores.steps, labels)
        return Loss(losses.sum() / totals.rows, metrics)


@torch.no_grad()
def _verdicts(steps: Tensor, labels: Tensor) -> dict[str, Mean]:
    """Verdicts at probability 1/2; most steps are right, so the wrong ones are counted apart."""
    right, said = labels >= 0.5, steps >= 0
    agrees, wrong = (right == said).to(steps.dtype), (~right).to(steps.dtype)
    return {
        "reward/step_accuracy": average(agrees),
        "reward/error_recall": average(agrees, wrong),
        "reward/error_share": average(wrong),
    }
