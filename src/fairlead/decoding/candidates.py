"""Scores of the tokens that a reply may go on with, without reading again what has been said.

A reward model keeps the keys and values of every reply under way. The candidates of a reply are
branches of one token: they attend to what is kept and to themselves, and the one that is chosen is
kept in its turn. Models that cannot do this are asked anew each time.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache

from fairlead.core.errors import ConfigError
from fairlead.data.chat import Ids
from fairlead.decoding.base import Spent
from fairlead.decoding.judging import ValueReward, judged, require_same_vocabulary
from fairlead.decoding.speaking import Speaker
from fairlead.generation.cache import Wave, WaveCache
from fairlead.generation.decoders import pack_prompts
from fairlead.models.attention import Decoding, attending, layout
from fairlead.models.trunk import body
from fairlead.objectives.batch import Packed
from fairlead.records import Prompt
from fairlead.rewards.base import RewardSource
from fairlead.rewards.model import ModelReward

TokenReward = ModelReward | ValueReward
"""Rewards that read tokens with one model."""


class Candidates(Protocol):
    """Scores what replies under way may go on with; rows are replies."""

    def score(self, tokens: Tensor) -> tuple[Tensor, list[Spent]]:
        """What each row is worth with each of some tokens behind it.

        Args:
            tokens: [row, candidate].

        Returns:
            Scores [row, candidate], float32, and what they cost, by row.
        """
        ...

    def take(self, places: Tensor) -> None:
        """Each row goes on with the candidate at its place [row] among those scored last."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Drops all rows but these (ascending indices)."""
        ...


def token_reward(source: RewardSource, speaker_tokenizer: Any, *, where: str) -> TokenReward:
    """The reward, if it can score single tokens.

    Raises:
        ConfigError: it is no reward model, or one with another tokenizer.
    """
    if not isinstance(source, (ModelReward, ValueReward)):
        raise ConfigError(
            "this decoder scores single tokens, which only a reward model can do",
            where=where,
            expected="a reward model or a value model",
            got=f"the reward {source.name}",
            remedy="name a reward model, or choose best_of_n, beam or cards",
        )
    require_same_vocabulary(source.model, speaker_tokenizer, where=where)
    return source


def candidates(
    source: TokenReward,
    speaker: Speaker,
    asked: Sequence[tuple[Prompt, Ids]],
    max_new_tokens: int,
) -> Candidates:
    """The cheaper way that is right for this reward's model.

    Args:
        source: what scores.
        speaker: turns tokens into replies.
        asked: prompts and their tokens.
        max_new_tokens: longest reply.

    Raises:
        ConfigError: a prompt with a whole reply passes the model's context.
    """
    model = source.model
    if not model.trunk.packs or model.pooling != "last" or getattr(source, "cloud", None):
        return Again(source, speaker, asked)
    _check_room(source, asked, max_new_tokens)
    return Branching(source, [ids for _, ids in asked], max_new_tokens)


def _check_room(
    source: TokenReward, asked: Sequence[tuple[Prompt, Ids]], max_new_tokens: int
) -> None:
    config = source.model.model.config
    room = min(source.model.context, getattr(config, "sliding_window", None) or 1 << 30)
    longest = max((len(ids) for _, ids in asked), default=0)
    if longest + max_new_tokens + 1 > room:
        raise ConfigError(
            "prompt and reply together would pass the reward model's context",
            where=f"reward {source.name}",
            expected=f"at most {room} tokens",
            got=f"{longest} of prompt + {max_new_tokens} of reply + 1 for its end",
            remedy=f"set max_new_tokens to at most {room - longest - 1}",
        )


class Again:
    """Shows the reward every candidate with all that goes before."""

    def __init__(
        self, source: TokenReward, speaker: Speaker, asked: Sequence[tuple[Prompt, Ids]]
    ) -> None:
        self.source, self.speaker = source, speaker
        self.rows: list[tuple[Prompt, Ids, Ids]] = [(prompt, ids, ()) for prompt, ids in asked]
        self.scored: list[list[int]] = []

    def score(self, tokens: Tensor) -> tuple[Tensor, list[Spent]]:
        """See `Candidates`."""
        self.scored = tokens.tolist()
        replies = [
            self.speaker.reply(prompt, ids, (*said, token), "length")
            for (prompt, ids, said), own in zip(self.rows, self.scored, strict=True)
            for token in own
        ]
        found = judged(self.source, replies)
        count = tokens.shape[1]
        each = [found[start : start + count] for start in range(0, len(found), count)]
        scores = torch.tensor([[score for score, _ in own] for own in each], device=tokens.device)
        return scores, [sum((cost for _, cost in own), start=Spent()) for own in each]

    def take(self, places: Tensor) -> None:
        """See `Candidates`."""
        self.rows = [
            (prompt, ids, (*said, own[place]))
            for (prompt, ids, said), own, place in zip(
                self.rows, self.scored, places.tolist(), strict=True
            )
        ]

    def keep(self, rows: Tensor) -> None:
        """See `Candidates`."""
        self.rows = [self.rows[row] for row in rows.tolist()]


class Branching:
    """Keeps the keys and values of what has been said.

    Args:
        source: what scores; a reward model is shown the EOS behind every candidate, a value model
            the candidate alone.
        prompts: one for each row.
        room: longest reply.
    """

    def __init__(self, source: TokenReward, prompts: Sequence[Ids], room: int) -> None:
        self.model = source.model
        self.eos = None if isinstance(source, ValueReward) else source.model.chat_format().eos
        self.body = body(self.model.model)
        packed = pack_prompts(prompts).to(self.model.device)
        captured = DynamicCache()
        with attending(layout(packed)):
            hidden = self._hidden(packed.input_ids[None], packed.position_ids[None], captured)[0]
        spans = [slice(tree.start, tree.start + tree.length) for tree in packed.trees]
        self.cache = _Branches(Wave(captured, spans, range(len(prompts)), room))
        self.prompts = hidden[packed.ends]
        """Hidden state at the end of each prompt, which some heads read too."""
        self.positions = packed.position_ids[packed.ends] + 1
        self.unpaid = [len(prompt) for prompt in prompts]
        """Positions computed since the last bill, by row."""

    def score(self, tokens: Tensor) -> tuple[Tensor, list[Spent]]:
        """See `Candidates`."""
        rows, count = tokens.shape
        flat, positions = tokens.flatten(), self.positions.repeat_interleave(count)
        self.cache.branch()
        scores = self._read(self._step(flat, positions), count)
        if self.eos is not None:
            ends = torch.full_like(flat, self.eos)
            ended = self._read(self._step(ends, positions + 1), count)
            scores = torch.where(flat == self.eos, scores, ended)
        computed = count if self.eos is None else 2 * count
        bills = [Spent(0, before + computed, count) for before in self.unpaid]
        self.unpaid = [0] * rows
        return scores.view(rows, count), bills

    def take(self, places: Tensor) -> None:
        """See `Candidates`."""
        self.cache.take(places)
        self.positions = self.positions + 1

    def keep(self, rows: Tensor) -> None:
        """See `Candidates`."""
        self.cache.keep(rows)
        self.positions, self.prompts = self.positions[rows], self.prompts[rows]
        self.unpaid = [self.unpaid[row] for row in rows.tolist()]

    def _step(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Hidden states of one more token of each branch, [branch, width]."""
        with attending(Decoding(self.cache.attend)):
            return self._hidden(tokens[:, None], positions[:, None], self.cache)[:, 0]

    def _hidden(self, ids: Tensor, positions: Tensor, cache: Any) -> Tensor:
        out = self.body(
            input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True
        )
        return out.last_hidden_state

    def _read(self, hidden: Tensor, count: int) -> Tensor:
        """What the head says at each branch's last token, [branch]."""
        branches = len(hidden)
        places = torch.arange(branches, device=hidden.device)
        nothing = torch.zeros_like(places)
        packed = Packed(
            input_ids=nothing,
            position_ids=nothing,
            trees=(),
            rows=branches + places,
            targets=nothing,
            row_sequence=places,
            ends=places,
        )
        prompts = self.prompts.repeat_interleave(count, 0)
        rewards = self.model.read(torch.cat([hidden, prompts]), packed).rewards
        assert rewards is not None, "the reward asked for a head that gives rewards"
        return rewards.float()


class _Branches(WaveCache):
    """What has been said, row by row, and the branches that may follow, several for each row.

    Args:
        said: the rows.
    """

    def __init__(self, said: Wave) -> None:
        super().__init__(layers=len(said.keys))
        self.waves = [said]
        self.branch()

    def branch(self) -> None:
        """Forgets the branches."""
        layers = len(self.layers)
        self.new_keys: list[list[Tensor]] = [[] for _ in range(layers)]
        self.new_values: list[list[Tensor]] = [[] for _ in range(layers)]

    def write(self, layer: int, key: Tensor, value: Tensor) -> None:
        """One more token of each branch, [branch, kv head, 1, width]."""
        self.latest = layer
        self.new_keys[layer].append(key[:, :, 0])
        self.new_values[layer].append(value[:, :, 0])

    def take(self, places: Tensor) -> None:
        """The first token of one branch of each row becomes part of what has been said."""
        (said,) = self.waves
        branches = len(self.new_keys[0][0])
        chosen = torch.arange(0, branches, branches // said.rows, device=places.device) + places
        for layer, (keys, values) in enumerate(zip(self.new_keys, self.new_values, strict=True)):
            said.write(layer, keys[0][chosen], values[0][chosen])
        self.advance()
        self.branch()

    def attend(self, query: Tensor, scaling: float | None) -> Tensor:
        """Attention of each branch to its row and to itself, [branch, 1, heads, width].

        Args:
            query: [branch, heads, 1, width].
            scaling: of the products; None for 1 / sqrt(width).
        """
        (said,) = self.waves
        used = said.used - said.offset
        keys = said.keys[self.latest][:, :, :used]
        values = said.values[self.latest][:, :, :used]
        branches, heads, _, width = query.shape
        rows, groups = said.rows, keys.shape[1]
        asked = query.reshape(rows, branches // rows, groups, heads // groups, width)
        own_keys, own_values = (
            torch.stack(new[self.latest], 2).unflatten(0, (rows, -1))
            for new in (self.new_keys, self.new_values)
        )
        before = torch.einsum("rbhgd,rhsd->rbhgs", asked, keys)
        if said.valid is not None:
            before = before.masked_fill(~said.valid[:, None, None, None, :used], -torch.inf)
        now = torch.einsum("rbhgd,rbhcd->rbhgc", asked, own_keys)
        scaled = torch.cat([before, now], -1) * (width**-0.5 if scaling is None else scaling)
        weights = scaled.float().softmax(-1).to(query.dtype)
        out = torch.einsum("rbhgs,rhsd->rbhgd", weights[..., :used], values)
        out = out + torch.einsum("rbhgc,rbhcd->rbhgd", weights[..., used:], own_values)
        return out.reshape(branches, 1, heads, -1)
