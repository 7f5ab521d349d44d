"""Rewards as decoders use them: scores with what they cost, of whole replies and of beginnings.

A beginning is scored by any reward source: a reward model is shown it with the EOS that every reply
had in training, so it says what the reply would be worth if it ended there. A value model, trained
on beginnings, is shown them as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from fairlead.core.errors import ConfigError
from fairlead.data.chat import Item
from fairlead.decoding.base import Decoded, Models, Spent
from fairlead.models.reward_model import RewardModel
from fairlead.rewards.base import Reply, RewardSource, Scored
from fairlead.rewards.model import REWARDS, reply_items, same_vocabulary, score_items


@dataclass(frozen=True)
class ValueReward:
    """What a value model expects a reply to be worth in the end, from its beginning.

    The model is read at the last token as it stands, without an EOS.
    """

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase
    """The policy's tokenizer."""
    microbatch_tokens: int = 8192
    name: str = "value"

    def __post_init__(self) -> None:
        self.model.require(REWARDS, where=f"reward {self.name}")
        require_same_vocabulary(self.model, self.tokenizer, where=f"reward {self.name}")

    def items(self, replies: Sequence[Reply]) -> list[Item]:
        """What the model is shown: of a reply that has not begun, the prompt."""
        whole = [(*reply.prompt_ids, *reply.response_ids) for reply in replies]
        return [Item(own[:-1], (own[-1:],), record=i) for i, own in enumerate(whole)]

    def score(self, replies: Sequence[Reply]) -> Scored:
        """One value for each reply."""
        scores = score_items(self.model, self.items(replies), tokens=self.microbatch_tokens)
        return Scored(torch.cat(scores).float())


def require_same_vocabulary(
    model: RewardModel, tokenizer: PreTrainedTokenizerBase, *, where: str
) -> None:
    """Refuses a reward model that does not read the policy's tokens.

    Raises:
        ConfigError: their vocabularies or chat templates differ.
    """
    if not same_vocabulary(model.tokenizer, tokenizer):
        raise ConfigError(
            "single tokens can only be scored by a reward model that has the policy's tokenizer",
            where=where,
            expected=f"the policy's vocabulary of {len(tokenizer)} tokens and its chat template",
            got=f"a vocabulary of {len(model.tokenizer)} tokens, or another template",
            remedy="train a reward model on the policy's base model, or choose best_of_n",
        )


def judged(source: RewardSource, replies: Sequence[Reply]) -> list[tuple[float, Spent]]:
    """The score of each reply, and what it cost.

    Args:
        source: who judges.
        replies: whole or begun; those to one prompt side by side.

    Raises:
        ConfigError: the source pays at steps, so whole replies all score 0.
    """
    if not replies:
        return []
    scored = source.score(replies)
    if scored.token_rewards:
        raise ConfigError(
            f"{source.name} pays at the steps of a reply, so no whole reply has a score",
            expected="a reward that scores whole replies",
            remedy="set at_steps: false",
        )
    costs = [Spent(0, positions, 1) for positions in _positions(source, replies)]
    return list(zip(scored.values.tolist(), costs, strict=True))


def rescored(models: Models, found: Sequence[Decoded]) -> list[Decoded]:
    """Replies with the reward's own score, where another source has guided them."""
    if models.prefix is None:
        return list(found)
    judgements = judged(models.judge, [own.reply for own in found])
    return [
        replace(own, score=score, spent=own.spent + cost)
        for own, (score, cost) in zip(found, judgements, strict=True)
    ]


def _positions(source: RewardSource, replies: Sequence[Reply]) -> list[int]:
    """Positions that the reward models in a source compute for each reply."""
    totals = [0] * len(replies)
    for reader in readers(source):
        for place, item in enumerate(_shown(reader, replies)):
            totals[place] += item.tokens
    return totals


def _shown(reader: Any, replies: Sequence[Reply]) -> list[Item]:
    if isinstance(reader, ValueReward):
        return reader.items(replies)
    return reply_items(reader.model, reader.tokenizer, replies)


def readers(source: Any) -> Iterator[Any]:
    """The sources within a source that read replies with a reward model of their own.

    Judging policies, which compare replies, and functions of the text count as calls alone.
    """
    if isinstance(getattr(source, "model", None), RewardModel):
        yield source
    elif is_dataclass(source):
        for field in fields(source):
            yield from readers(getattr(source, field.name))
    elif isinstance(source, (tuple, list)):
        for part in source:
            yield from readers(part)
