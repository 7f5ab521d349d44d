"""Direct Preference Optimization. Rafailov et al. 2023, arXiv:2305.18290, eq. 7."""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor

from fairlead.functional.reductions import segment_sum
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import PreferenceBatch, Scores, Totals


def dpo_loss(
    margin: Float[Tensor, " pair"], *, beta: float, label_smoothing: float = 0.0
) -> Float[Tensor, " pair"]:
    """Per-pair loss of `margin`: chosen minus rejected log-ratio to the reference, in nats.

    With `label_smoothing` it is conservative DPO (Mitchell 2023): the expected loss when that
    share of the labels is flipped.
    """
    right, flipped = F.logsigmoid(beta * margin), F.logsigmoid(-beta * margin)
    return -(1 - label_smoothing) * right - label_smoothing * flipped


class DPO(Objective):
    """Raises preferred replies over rejected ones relative to a frozen reference."""

    title: ClassVar[str] = "Direct Preference Optimization"
    source: ClassVar[str] = "Rafailov et al. 2023, arXiv:2305.18290"
    batch: ClassVar[type[PreferenceBatch]] = PreferenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS, Need.REFERENCE})

    kind: Literal["dpo"] = "dpo"
    beta: PositiveFloat = 0.1
    """Strength of the pull towards the reference; larger stays closer."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Assumed probability that a label is flipped (conservative DPO)."""

    def __call__(self, scores: Scores, batch: PreferenceBatch, totals: Totals) -> Loss:
        """Mean over pairs (over prompts, for rankings)."""
        assert scores.logps is not None and batch.reference is not None
        packed = batch.packed
        logps = segment_sum(scores.logps, packed.row_sequence, packed.sequences)
        ratio = logps - batch.reference
        margin = ratio[batch.better] - ratio[batch.worse]
        losses = dpo_loss(margin, beta=self.beta, label_smoothing=self.label_smoothing)
        with torch.no_grad():
            correct = (margin > 0).to(margin.dtype)
            metrics = {
                "loss/dpo": average(losses, batch.weight),
                "reward/accuracy": average(correct, batch.weight),
                "reward/margin": average(self.beta * margin, batch.weight),
                "reward/chosen": average(self.beta * ratio[batch.better], batch.weight),
                "reward/rejected": average(self.beta * ratio[batch.worse], batch.weight),
                "policy/logp_chosen": average(logps[batch.better], batch.weight),
                "policy/logp_rejected": average(logps[batch.worse], batch.weight),
                "policy/log_ratio_abs": average(ratio.abs()),
            }
        return Loss((batch.weight * losses).sum() / totals.groups, metrics)
