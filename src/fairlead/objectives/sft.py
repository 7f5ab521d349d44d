"""Supervised fine-tuning. Ouyang et al. 2022, arXiv:2203.02155, section 3.1."""

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import Scores, SequenceBatch, Totals


def sft_loss(logps: Float[Tensor, " row"]) -> Float[Tensor, " row"]:
    """Negative log-likelihood of each reply token, in nats."""
    return -logps


class SFT(Objective):
    """Imitates the replies: mean negative log-likelihood over all reply tokens of the step."""

    title: ClassVar[str] = "Supervised fine-tuning"
    source: ClassVar[str] = "Ouyang et al. 2022, arXiv:2203.02155"
    equation: ClassVar[str] = r"-\mathbb{E}_t \log\pi(y_t \mid x, y_{<t})"
    choose: ClassVar[str] = (
        "The start of every chain: it teaches the format, and everything after it stays near it."
    )
    batch: ClassVar[type[SequenceBatch]] = SequenceBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGPS})

    kind: Literal["sft"] = "sft"

    def __call__(self, scores: Scores, batch: SequenceBatch, totals: Totals) -> Loss:
        """Token-mean loss: long replies weigh more, as in most published recipes."""
        assert scores.logps is not None
        losses = sft_loss(scores.logps)
        return Loss(losses.sum() / totals.rows, {"loss/nll": average(losses)})
