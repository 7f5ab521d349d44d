"""A trained reward model as a reward source."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from pydantic import NonNegativeFloat
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import ChatFormat, Item
from fairlead.functional.latents import Cloud, fit_cloud
from fairlead.models.heads import Dimensions, Read
from fairlead.models.reward_model import RewardModel
from fairlead.objectives.base import Need
from fairlead.objectives.batch import Scores
from fairlead.rewards.base import Reply, Scored

REWARDS = frozenset({Need.REWARDS})


def same_vocabulary(a: PreTrainedTokenizerBase, b: PreTrainedTokenizerBase) -> bool:
    """Whether tokens of one mean the same to the other."""
    return a is b or (a.get_vocab() == b.get_vocab() and a.chat_template == b.chat_template)


@dataclass(frozen=True)
class ModelReward:
    """Scores replies with a reward model whose head gives one score per reply.

    A reply that was cut off is given its EOS for scoring: in training every reply had one, and
    what is missing is punished by the missing-EOS penalty, not by an odd input.

    Parts, as the head has them: each dimension by its name; each member as `member_0`, ... and
    their `spread`; `length_score`; `latent_distance` where a cloud of reference latents is given.
    """

    model: RewardModel
    tokenizer: PreTrainedTokenizerBase
    """The policy's tokenizer; replies are re-tokenised where the reward model has another."""
    microbatch_tokens: int = 8192
    name: str = "reward_model"
    cloud: Cloud | None = None
    """Where the reference's replies lie in the latent space of an InfoRM head."""
    distance_penalty: NonNegativeFloat = 0.0
    """Taken from the score per unit of Mahalanobis distance to the cloud (Miao et al. 2025,
    arXiv:2510.13694)."""

    def __post_init__(self) -> None:
        needs = REWARDS if self.cloud is None else REWARDS | {Need.LATENTS}
        self.model.require(needs, where=f"reward {self.name}")

    def against(self, replies: Sequence[Reply], *, penalty: float = 0.0) -> "ModelReward":
        """The same with the latents of these replies, usually the SFT policy's, as the cloud.

        Raises:
            ConfigError: the head has no latents.
            DataError: there are fewer than two replies.
        """
        self.model.require(REWARDS | {Need.LATENTS}, where=f"reward {self.name}")
        latents = self._outputs(replies)["latent_mean"].double()
        return replace(self, cloud=fit_cloud(latents), distance_penalty=penalty)

    def latents(self, replies: Sequence[Reply]) -> Tensor:
        """[reply, width] what the head reads: an InfoRM head's latent, else the hidden state."""
        if Need.LATENTS in self.model.head.gives:
            return self._outputs(replies)["latent_mean"].double()
        items = reply_items(self.model, self.tokenizer, replies)
        return hidden_states(self.model, items, tokens=self.microbatch_tokens).double()

    def score(self, replies: Sequence[Reply]) -> Scored:
        """One score for each reply."""
        found = self._outputs(replies)
        values, parts = found["rewards"], self._parts(found)
        if "latent_distance" in parts and self.distance_penalty:
            values = values - self.distance_penalty * parts["latent_distance"]
        return Scored(values.float(), {name: x.float() for name, x in parts.items()})

    def _outputs(self, replies: Sequence[Reply]) -> dict[str, Tensor]:
        items = reply_items(self.model, self.tokenizer, replies)
        each = head_outputs(self.model, items, tokens=self.microbatch_tokens)
        return {name: torch.cat([one[name] for one in each]) for name in each[0]}

    def _parts(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        parts: dict[str, Tensor] = {}
        if isinstance(self.model.settings, Dimensions):
            columns = found["dimensions"].unbind(1)
            parts |= dict(zip(self.model.settings.names, columns, strict=True))
        if "members" in found:
            members = found["members"]
            parts |= {f"member_{m}": own for m, own in enumerate(members.unbind(1))}
            parts["spread"] = members.std(1) if members.shape[1] > 1 else 0.0 * members[:, 0]
        if "length_rewards" in found:
            parts["length_score"] = found["length_rewards"]
        if self.cloud is not None:
            squared = self.cloud.squared_distances(found["latent_mean"].double())
            parts["latent_distance"] = squared.clamp(min=0).sqrt()
        return parts


def reply_items(
    model: RewardModel, tokenizer: PreTrainedTokenizerBase, replies: Sequence[Reply]
) -> list[Item]:
    """The replies as the model's tokens, each an item of its own that fits its context."""
    chat = model.chat_format()
    if same_vocabulary(model.tokenizer, tokenizer):
        items = [_as_is(reply, chat, i) for i, reply in enumerate(replies)]
    else:
        pairs = [chat.response_ids(reply.prompt, reply.text) for reply in replies]
        items = [Item(p, (r,), record=i) for i, (p, r) in enumerate(pairs)]
    return [_fitted(item, model.context) for item in items]


@torch.no_grad()
def head_outputs(
    model: RewardModel, items: Sequence[Item], *, tokens: int
) -> list[dict[str, Tensor]]:
    """All that the head says of each item's replies, by name of `Scores`, on the CPU.

    What it says of rows is left out: those of ordinary items are tokens, not steps.
    """
    found: dict[int, dict[str, Tensor]] = {}
    was_training = model.training
    model.eval()
    numbered = [Item(i.prompt, i.responses, i.ranks, n) for n, i in enumerate(items)]
    for group in microbatches(numbered, tokens):
        packed = pack(group, share_prompts=model.shares_prompts).to(model.device)
        scores = _by_sequence(model(packed, model.head.gives))
        sizes = [len(item.responses) for item in group]
        for name, values in scores.items():
            for item, part in zip(group, values.cpu().split(sizes), strict=True):
                found.setdefault(item.record, {})[name] = part
    model.train(was_training)
    return [found[n] for n in range(len(items))]


@torch.no_grad()
def hidden_states(model: RewardModel, items: Sequence[Item], *, tokens: int) -> Tensor:
    """[item, width] the state from which a score is read; items with one reply each."""
    found: list[Tensor] = [torch.empty(0)] * len(items)
    was_training = model.training
    model.eval()
    for group in microbatches(
        [Item(i.prompt, i.responses, i.ranks, n) for n, i in enumerate(items)], tokens
    ):
        packed = pack(group, share_prompts=model.shares_prompts).to(model.device)
        states = Read(model.trunk.hidden(packed), packed, model.pooling).sequences().cpu()
        for item, state in zip(group, states, strict=True):
            found[item.record] = state
    model.train(was_training)
    return torch.stack(found)


def score_items(model: RewardModel, items: Sequence[Item], *, tokens: int) -> list[Tensor]:
    """Scores of each item's replies, in the items' order."""
    return [found["rewards"] for found in head_outputs(model, items, tokens=tokens)]


def _by_sequence(scores: Scores) -> dict[str, Tensor]:
    values = {f.name: getattr(scores, f.name) for f in fields(scores)}
    return {name: x for name, x in values.items() if x is not None and x.dim() and name != "steps"}


def _as_is(reply: Reply, chat: ChatFormat, index: int) -> Item:
    ids = reply.response_ids
    ended = ids if ids and ids[-1] == chat.eos else (*ids, chat.eos)
    return Item(reply.prompt_ids, (ended,), record=index)


def _fitted(item: Item, context: int) -> Item:
    room = max(context - len(item.responses[0]), 1)
    return Item(item.prompt[-room:], item.responses, item.ranks, item.record)
