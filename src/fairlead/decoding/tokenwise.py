"""Replies chosen token by token among the likeliest, by likelihood and reward together.

What the decoders that choose single tokens share.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.data.chat import Ids
from fairlead.decoding.base import Decoded, Models, Spent
from fairlead.decoding.candidates import candidates, token_reward
from fairlead.decoding.judging import rescored
from fairlead.decoding.speaking import Speaker, check_finite, drawing, groups
from fairlead.generation.decoders import decoder
from fairlead.generation.local import check_room, ends_in_stop, evaluating, room_of
from fairlead.generation.sampling import Finish, draw
from fairlead.records import Prompt


@dataclass(frozen=True)
class Rule:
    """How each token is chosen, and when a reply ends."""

    candidates: int
    """The likeliest tokens, which alone are looked at."""
    weight: float
    """Of the reward, beside a logit."""
    temperature: float
    """Divides logit plus weighted reward before the draw; 0 takes the highest."""
    max_new_tokens: int
    stop: tuple[str, ...] = ()

    def choose(self, logits: Tensor, rewards: Tensor, uniforms: Tensor) -> Tensor:
        """The place of each row's candidate.

        Args:
            logits: [row, candidate], up to a constant per row.
            rewards: [row, candidate] of the reply with each.
            uniforms: [row], in [0, 1).
        """
        if self.temperature == 0:
            return self.scores(logits, rewards).argmax(-1)
        return draw(self.logps(logits, rewards), uniforms)[0]

    def scores(self, logits: Tensor, rewards: Tensor) -> Tensor:
        """Logit plus weighted reward of each candidate, [row, candidate]."""
        return logits + self.weight * rewards

    def logps(self, logits: Tensor, rewards: Tensor) -> Tensor:
        """Log-probabilities that candidates are drawn with, [row, candidate]."""
        return (self.scores(logits, rewards) / self.temperature).log_softmax(-1)


def guided(
    models: Models, prompts: Sequence[Prompt], rule: Rule, *, seed: Seed, where: str
) -> list[Decoded]:
    """One reply to each prompt; its numbers are those of `seed.child(place, 0)`, as in sampling.

    Raises:
        DataError: a prompt leaves no room for a reply.
        ConfigError: a prompt with a whole reply passes the context of the policy or of the reward
            model, or the reward cannot score tokens.
    """
    speaker = Speaker(models.policy)
    asked = list(zip(prompts, speaker.ids(prompts), strict=True))
    check_room([ids for _, ids in asked], rule.max_new_tokens, room_of(models.policy))
    found: list[Decoded] = []
    for places in groups(models.policy, [len(ids) for _, ids in asked], rule.max_new_tokens):
        streams = [seed.child(place, 0).numpy().random(rule.max_new_tokens) for place in places]
        own = [asked[place] for place in places]
        with torch.no_grad(), evaluating(models.policy.model):
            found += _Replies(models, speaker, own, rule, where).grow(streams)
    return rescored(models, found)


class _Replies:
    """Replies under way, one to each prompt."""

    def __init__(
        self,
        models: Models,
        speaker: Speaker,
        asked: Sequence[tuple[Prompt, Ids]],
        rule: Rule,
        where: str,
    ) -> None:
        self.speaker, self.asked, self.rule = speaker, asked, rule
        source = token_reward(models.guide, models.policy.tokenizer, where=where)
        self.scorer = candidates(source, speaker, asked, rule.max_new_tokens)
        self.model = decoder(models.policy)
        self.tokens: list[list[int]] = [[] for _ in asked]
        self.spent = [Spent() for _ in asked]
        self.scores = [0.0] * len(asked)
        self.finish: list[Finish | None] = [None] * len(asked)
        self.going = list(range(len(asked)))
        """Which replies the rows are."""

    def grow(self, streams: Sequence[np.ndarray]) -> Iterator[Decoded]:
        """Grows all replies to their ends.

        Args:
            streams: uniform numbers of each reply, [token].
        """
        uniforms = torch.from_numpy(np.stack(streams))
        prompts = [ids for _, ids in self.asked]
        room = self.rule.max_new_tokens - 1
        logits = self.model.join(prompts, range(len(prompts)), room)
        for step in range(self.rule.max_new_tokens):
            chosen = self._choose(logits, uniforms[self.going, step].to(logits.device))
            stay = [row for row, own in enumerate(self.going) if self.finish[own] is None]
            if not stay:
                break
            if len(stay) < len(self.going):
                rows = torch.tensor(stay, device=logits.device)
                self.model.keep(rows)
                self.scorer.keep(rows)
                chosen, self.going = chosen[rows], [self.going[row] for row in stay]
            logits = self.model.step(chosen)
        return map(self._decoded, range(len(self.asked)))

    def _choose(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        """One more token for every row, [row]."""
        check_finite(logits)
        wide = logits if logits.dtype == torch.float64 else logits.float()
        likely = wide.topk(min(self.rule.candidates, wide.shape[1]), dim=-1)
        rewards, bills = self.scorer.score(likely.indices)
        places = self.rule.choose(likely.values, rewards, uniforms)
        self.scorer.take(places)
        chosen, worth = (
            x.gather(-1, places[:, None]).squeeze(-1) for x in (likely.indices, rewards)
        )
        for own, token, score, bill in zip(
            self.going, chosen.tolist(), worth.tolist(), bills, strict=True
        ):
            self.tokens[own].append(token)
            self.scores[own] = score
            self.spent[own] += bill
            self.finish[own] = self._ended(self.tokens[own])
        return chosen

    def _ended(self, tokens: list[int]) -> Finish | None:
        if tokens[-1] in self.speaker.engine.eos:
            return "eos"
        tokenizer = self.speaker.policy.tokenizer
        if self.rule.stop and ends_in_stop(tokens, self.rule.stop, tokenizer):
            return "stop"
        return "length" if len(tokens) == self.rule.max_new_tokens else None

    def _decoded(self, own: int) -> Decoded:
        prompt, ids = self.asked[own]
        tokens, finish = tuple(self.tokens[own]), self.finish[own] or "length"
        reply = self.speaker.reply(prompt, ids, tokens, finish)
        spent = self.spent[own] + drawing(len(ids), [len(tokens)])
        return Decoded(reply, self.scores[own], spent)
