"""A value model of beginnings: what a reply will be worth in the end, told from its first tokens.

CD-FUDGE and CD-Q: Mudgal et al. 2023, arXiv:2310.17022, after Yang and Klein 2021,
arXiv:2104.05218.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor

from fairlead.data.batches import pack
from fairlead.data.chat import Item
from fairlead.data.steps import at_ends
from fairlead.objectives.base import Loss, Need, Objective, average
from fairlead.objectives.batch import Packed, Scores, StepBatch, Totals


class PrefixValue(Objective):
    """Half the squared error of the value at every token, against the reward of the whole reply.

    The mean is over tokens; the paper's, over replies, differs by their mean length alone.
    """

    title: ClassVar[str] = "Value of beginnings"
    source: ClassVar[str] = "Mudgal et al. 2023, arXiv:2310.17022"
    equation: ClassVar[str] = r"\frac{1}{T}\sum_t \tfrac12 (V(x, y_{\le t}) - r(x, y))^2"
    choose: ClassVar[str] = "To guide decoding by what a beginning promises."
    batch: ClassVar[type[StepBatch]] = StepBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS})

    def __call__(self, scores: Scores, batch: StepBatch, totals: Totals) -> Loss:
        """Mean over tokens."""
        assert scores.rewards is not None
        values = scores.rewards
        labels = batch.labels.to(values.dtype)
        losses = 0.5 * (values - labels).square()
        metrics = {
            "loss/value": average(losses),
            "value/mean": average(values),
            "value/return": average(labels),
        }
        return Loss(losses.sum() / totals.rows, metrics)


@dataclass(frozen=True)
class ValueBatch(StepBatch):
    """Replies, every token of which is read; labels are the reward of the whole reply."""

    last: Bool[Tensor, " row"]
    """True where a reply ends."""


class BellmanValue(Objective):
    """Half the squared error of the value at every token, against the value at the next one.

    At its last token a reply's value is its reward. The next token is the one that the policy
    drew, a sample of the expectation over all that it might have drawn; no gradient flows into the
    target. Early values vary less than the rewards that they lead to, and are wrong for as long as
    later ones are.
    """

    title: ClassVar[str] = "Value of beginnings, from one token to the next"
    source: ClassVar[str] = "Mudgal et al. 2023, arXiv:2310.17022 (CD-Q)"
    equation: ClassVar[str] = (
        r"\frac{1}{T}\sum_t \tfrac12 (V(x, y_{\le t}) - \bar V_t)^2,\quad"
        r" \bar V_t = V(x, y_{\le t + 1}),\ \bar V_{|y|} = r(x, y)"
    )
    choose: ClassVar[str] = "To guide decoding where rewards of whole replies vary much by chance."
    batch: ClassVar[type[StepBatch]] = ValueBatch
    needs: ClassVar[frozenset[Need]] = frozenset({Need.REWARDS})

    def __call__(self, scores: Scores, batch: ValueBatch, totals: Totals) -> Loss:
        """Mean over tokens."""
        assert scores.rewards is not None
        values = scores.rewards
        returns = batch.labels.to(values.dtype)
        targets = torch.where(batch.last, returns, values.detach().roll(-1))
        losses = 0.5 * (values - targets).square()
        metrics = {
            "loss/value": average(losses),
            "value/mean": average(values),
            "value/return": average(returns),
        }
        return Loss(losses.sum() / totals.rows, metrics)


@dataclass(frozen=True)
class ValuedItem(Item):
    """A reply with its reward."""

    reward: float = 0.0


def value_batch(items: Sequence[Item]) -> ValueBatch:
    """A microbatch of replies, each token of which is to tell its reply's reward."""
    valued = [item for item in items if isinstance(item, ValuedItem)]
    labels = [item.reward for item in valued for _ in item.responses[0]]
    lengths = torch.tensor([len(item.responses[0]) for item in valued])
    last = torch.zeros(len(labels), dtype=torch.bool)
    last[lengths.cumsum(0) - 1] = True
    return ValueBatch(
        packed=at_every_token(valued), labels=torch.tensor(labels, dtype=torch.float32), last=last
    )


def at_every_token(items: Sequence[Item]) -> Packed:
    """A pack of replies in which every token is the end of a sequence, to be read there."""
    packed = at_ends(pack(items), [tuple(range(len(item.responses[0]))) for item in items])
    rows = packed.rows
    return replace(packed, ends=rows, row_sequence=torch.arange(rows.shape[0]))
