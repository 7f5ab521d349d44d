"""Self-trained verification. Wu and Raghunathan 2026, arXiv:2605.30290.

The divergence between teacher and student on the student's own tokens is the generalised
Jensen-Shannon divergence of on-policy distillation: Agarwal et al. 2023, arXiv:2306.13649, eq. 1.
"""

import math
from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field, NonNegativeFloat
from torch import Tensor, logaddexp

from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import DistillationBatch, Scores, Totals


def jensen_shannon(
    teacher: Float[Tensor, "row vocabulary"],
    student: Float[Tensor, "row vocabulary"],
    *,
    mixing: float,
) -> Float[Tensor, " row"]:
    """Generalised Jensen-Shannon divergence of each row, in nats.

    `mixing * KL(teacher | m) + (1 - mixing) * KL(student | m)` with `m = mixing * teacher +
    (1 - mixing) * student`.

    Args:
        teacher: log-probabilities.
        student: log-probabilities.
        mixing: the teacher's share, between 0 and 1.
    """
    middle = logaddexp(teacher + math.log(mixing), student + math.log(1 - mixing))
    to_teacher = (teacher.exp() * (teacher - middle)).sum(-1)
    to_student = (student.exp() * (student - middle)).sum(-1)
    return mixing * to_teacher + (1 - mixing) * to_student


class SelfTrainedVerification(Objective):
    """A verifier learns from itself with the solution at hand, and from whether it was right."""

    title: ClassVar[str] = "Self-trained verification"
    source: ClassVar[str] = "Wu and Raghunathan 2026, arXiv:2605.30290"
    equation: ClassVar[str] = (
        r"c_d\,\mathbb{E}_t\, \mathrm{JSD}_\lambda\bigl(\pi(\cdot \mid s, x, y, v_{<t}),"
        r" \pi_\theta(\cdot \mid x, y, v_{<t})\bigr)"
        r" - c_v\,\mathbb{E}_t\, A\,\log\pi_\theta(v_t \mid x, y, v_{<t})"
    )
    choose: ClassVar[str] = (
        "To train a verifier that has no reference solution at test time, from problems that have "
        "one in training."
    )
    batch: ClassVar[type[DistillationBatch]] = DistillationBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS, Need.DISTRIBUTION, Need.ROLLOUTS})

    kind: Literal["self_trained_verification"] = "self_trained_verification"
    mixing: float = Field(default=0.5, gt=0, lt=1)
    """The teacher's share in the mixture of the Jensen-Shannon divergence."""
    distillation_coefficient: NonNegativeFloat = 1.0
    """Weight of the divergence from the teacher."""
    verdict_coefficient: NonNegativeFloat = 1.0
    """Weight of the policy gradient of right verdicts."""

    def __call__(self, scores: Scores, batch: DistillationBatch, totals: Totals) -> Loss:
        """Token mean of both parts."""
        assert scores.logps is not None and scores.distribution is not None
        divergence = jensen_shannon(batch.teacher, scores.distribution, mixing=self.mixing)
        gain = batch.advantages * scores.logps
        losses = self.distillation_coefficient * divergence - self.verdict_coefficient * gain
        agree = scores.distribution.detach().argmax(-1) == batch.teacher.argmax(-1)
        metrics = {
            "loss/distillation": average(divergence),
            "loss/verdict": average(-gain),
            "policy/agreement_with_teacher": average(agree.to(divergence.dtype)),
        }
        return Loss(losses.sum() / totals.rows, metrics)
