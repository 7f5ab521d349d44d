"""A trained reward model as a reward source."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import Item
from fairlead.models.reward_model import RewardModel
from fairlead.objectives.base import Need
from fairlead.rewards.base import Reply, Scored


def same_vocabulary(a: PreTrainedTokenizerBase, b: PreTrainedTokenizerBase) -> bool:
    """Whether tokens of one mean the same to the other."""
    return a is b or (a.get_vocab() == b.get_vocab() and a.chat_template == b.chat_template)


@dataclass(frozen=True)
class ModelReward:
    """Scores replies with a reward model.

    A reply that was cut off is given its EOS for scoring: in training every reply had one, and
    what is missing is punished by the missing-EOS penalty, not by an odd input.
    """

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase
    """The policy's tokenizer; replies are re-tokenised where the reward model has another."""
    microbatch_tokens: int = 8192
    name: str = "reward_model"

    def score(self, replies: Sequence[Reply]) -> Scored:
        """One score for each reply."""
        chat = self.model.chat_format()
        if same_vocabulary(self.model.tokenizer, self.tokenizer):
            items = [_as_is(reply, chat.eos, i) for i, reply in enumerate(replies)]
        else:
            pairs = [chat.response_ids(reply.prompt, reply.text) for reply in replies]
            items = [Item(p, (r,), record=i) for i, (p, r) in enumerate(pairs)]
        fitted = [_fitted(item, self.model.context) for item in items]
        return Scored(torch.cat(score_items(self.model, fitted, tokens=self.microbatch_tokens)))


@torch.no_grad()
def score_items(model: RewardModel, items: Sequence[Item], *, tokens: int) -> list[Tensor]:
    """Scores of each item's replies, in the items' order."""
    scores: dict[int, Tensor] = {}
    was_training = model.training
    model.eval()
    numbered = [Item(i.prompt, i.responses, i.ranks, n) for n, i in enumerate(items)]
    for group in microbatches(numbered, tokens):
        packed = pack(group, share_prompts=model.shares_prompts).to(model.device)
        rewards = model(packed, frozenset({Need.REWARDS})).rewards
        sizes = [len(item.responses) for item in group]
        for item, part in zip(group, rewards.cpu().split(sizes), strict=True):
            scores[item.record] = part
    model.train(was_training)
    return [scores[n] for n in range(len(items))]


def _as_is(reply: Reply, eos: int, index: int) -> Item:
    ids = reply.response_ids
    ended = ids if ids and ids[-1] == eos else (*ids, eos)
    return Item(reply.prompt_ids, (ended,), record=index)


def _fitted(item: Item, context: int) -> Item:
    room = max(context - len(item.responses[0]), 1)
    return Item(item.prompt[-room:], item.responses, item.ranks, item.record)
