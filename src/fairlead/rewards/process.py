"""A process reward model as a reward source: every step judged, and a score for the whole.

Lightman et al. 2023, arXiv:2305.20050; the minimum after Wang et al. 2023, arXiv:2312.08935.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import ChatFormat, Ids, Item
from fairlead.data.steps import StepItem, at_ends, line_ends
from fairlead.functional.steps import AGGREGATIONS
from fairlead.models.reward_model import RewardModel
from fairlead.objectives.base import Need
from fairlead.rewards.base import Reply, Scored
from fairlead.rewards.model import reply_items

STEPS = frozenset({Need.STEPS})
Aggregation = Literal["product", "minimum", "mean", "last"]


@dataclass(frozen=True)
class ProcessReward:
    """Scores solutions by their steps, which are the lines of the reply.

    A reply without a line has nothing right in it: its score is 0.
    """

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase
    """The policy's tokenizer."""
    aggregate: Aggregation = "minimum"
    """How step probabilities become a score. The product falls with every step, so it favours
    short solutions; "last" is for outcome reward models."""
    at_steps: bool = False
    """Pay each step's probability at its last token, and nothing for the whole."""
    microbatch_tokens: int = 8192
    name: str = "process_reward"

    def __post_init__(self) -> None:
        self.model.require(STEPS, where=f"reward {self.name}")

    def score(self, replies: Sequence[Reply]) -> Scored:
        """One score for each reply, or rewards at its steps."""
        logps = self.step_logps(replies)
        join = AGGREGATIONS[self.aggregate]
        values = torch.stack([join(own) if len(own) else own.new_zeros(()) for own in logps])
        parts = {
            "steps": torch.tensor([float(len(own)) for own in logps]),
            "solution_score": values,
        }
        if not self.at_steps:
            return Scored(values, parts)
        tokens = tuple(self._paid(r, own) for r, own in zip(replies, logps, strict=True))
        return Scored(torch.zeros_like(values), parts, token_rewards=tokens)

    def step_logps(self, replies: Sequence[Reply]) -> list[Float[Tensor, " step"]]:
        """Log-probability in nats that each step is right, for the lines of every reply."""
        chat = self.model.chat_format()
        items = [
            _stepped(item, line_ends(chat, item.responses[0]))
            for item in reply_items(self.model, self.tokenizer, replies)
        ]
        logits = score_steps(self.model, items, tokens=self.microbatch_tokens)
        return [F.logsigmoid(own) for own in logits]

    def _paid(self, reply: Reply, logps: Float[Tensor, " step"]) -> Float[Tensor, " token"]:
        """The probabilities at the last tokens of the steps, in the policy's own tokens."""
        rewards = torch.full((len(reply.response_ids),), torch.nan)
        ends = line_ends(ChatFormat(self.tokenizer), reply.response_ids)
        for end, logp in zip(ends, logps, strict=True):
            rewards[end] = logp.exp()
        return rewards


@torch.no_grad()
def score_steps(
    model: RewardModel, items: Sequence[StepItem], *, tokens: int
) -> list[Float[Tensor, " step"]]:
    """Log-odds at the ends of each item's steps, in the items' order, on the CPU."""
    found: dict[int, Tensor] = {n: torch.zeros(0) for n in range(len(items))}
    was_training = model.training
    model.eval()
    numbered = [
        StepItem(item.prompt, item.responses, record=n, ends=item.ends)
        for n, item in enumerate(items)
        if item.ends
    ]
    for group in microbatches(numbered, tokens):
        own = [item for item in group if isinstance(item, StepItem)]
        packed = at_ends(pack(own, share_prompts=model.shares_prompts), [i.ends for i in own])
        steps = model(packed.to(model.device), STEPS).steps
        sizes = [len(item.ends) for item in own]
        for item, part in zip(own, steps.float().cpu().split(sizes), strict=True):
            found[item.record] = part
    model.train(was_training)
    return [found[n] for n in range(len(items))]


def _stepped(item: Item, ends: Ids) -> StepItem:
    return StepItem(item.prompt, item.responses, item.ranks, item.record, ends)
