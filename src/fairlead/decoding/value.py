"""A value model of beginnings: what a reply will be worth in the end, told from its first tokens.

CD-FUDGE: Mudgal et al. 2023, arXiv:2310.17022, after Yang and Klein 2021,
arXiv:2104.05218.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

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
class ValuedItem(Item):
    """A reply with its reward."""

    reward: float = 0.0


def value_batch(items: Sequence[Item]) -> StepBatch:
    """A microbatch of replies, each token of which is to tell its reply's reward."""
    valued = [item for item in items if isinstance(item, ValuedItem)]
    labels = [item.reward for item in valued for _ in item.responses[0]]
    return StepBatch(
        packed=at_every_token(valued), labels=torch.tensor(labels, dtype=torch.float32)
    )


def at_every_token(items: Sequence[Item]) -> Packed:
    """A pack of replies in which every token is the end of a sequence, to be read there."""
    packed = at_ends(pack(items), [tuple(range(len(item.responses[0]))) for item in items])
    rows = packed.rows
    return replace(packed, ends=rows, row_sequence=torch.arange(rows.shape[0]))
