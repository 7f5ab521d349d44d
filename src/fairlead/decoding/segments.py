"""Segments of replies that end where the policy is unsure how to go on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairlead.data.chat import Ids
from fairlead.decoding.speaking import Speaker, check_finite, groups
from fairlead.generation.decoders import decoder
from fairlead.generation.local import ends_in_stop, evaluating
from fairlead.generation.sampling import Finish, Sampling, choose


@dataclass(frozen=True)
class Borders:
    """Where a segment ends, beside the end of the reply."""

    entropy: float
    """Before a token whose distribution has at least so many nats."""
    shortest: int
    """Tokens before which it does not end for that."""
    longest: int
    """Tokens at which it ends in any case."""


@dataclass(frozen=True)
class Begun:
    """A reply that has begun."""

    prompt: Ids
    said: Ids = ()

    @property
    def ids(self) -> Ids:
        """All tokens so far."""
        return (*self.prompt, *self.said)


@dataclass(frozen=True)
class Segment:
    """What was drawn behind a beginning."""

    tokens: Ids
    finish: Finish | None
    """How the reply ended with it; None where it goes on."""
    read: int
    """Its tokens that the policy has read: all of them where it ended for its entropy."""


@torch.no_grad()
def segments(
    speaker: Speaker,
    begun: Sequence[Begun],
    borders: Borders,
    sampling: Sampling,
    streams: Sequence[np.random.Generator],
) -> list[Segment]:
    """One segment behind each beginning.

    Args:
        speaker: who goes on.
        begun: what has been said; shorter than the longest reply.
        borders: where segments end.
        sampling: how tokens are drawn, and the longest reply.
        streams: what each segment is drawn from, one number per token.
    """
    found: list[Segment] = []
    lengths = [len(own.ids) for own in begun]
    for places in groups(speaker.policy, lengths, borders.longest):
        own = [begun[place] for place in places]
        numbers = [streams[place].random(borders.longest) for place in places]
        with evaluating(speaker.policy.model):
            found += _Drawing(speaker, own, borders, sampling).run(np.stack(numbers))
    return found


class _Drawing:
    """Segments under way."""

    def __init__(
        self, speaker: Speaker, begun: Sequence[Begun], borders: Borders, sampling: Sampling
    ) -> None:
        self.speaker, self.begun, self.borders, self.sampling = speaker, begun, borders, sampling
        left = [sampling.max_new_tokens - len(own.said) for own in begun]
        self.limits = [min(borders.longest, own) for own in left]
        self.tokens: list[list[int]] = [[] for _ in begun]
        self.ends: list[Segment | None] = [None] * len(begun)
        self.going = list(range(len(begun)))
        """Which segments the rows are."""
        self.model = decoder(speaker.policy)

    def run(self, numbers: np.ndarray) -> list[Segment]:
        """Draws all to their ends, from uniform numbers [segment, token]."""
        prompts = [own.ids for own in self.begun]
        uniforms = torch.from_numpy(numbers)
        logits = self.model.join(prompts, range(len(prompts)), max(self.limits) - 1)
        for step in range(max(self.limits)):
            check_finite(logits)
            logits = logits[self._leave_unsure(logits, step)]
            if not self.going:
                break
            drawn, _ = choose(logits, self.sampling, uniforms[self.going, step].to(logits.device))
            for own, token in zip(self.going, drawn.tolist(), strict=True):
                self.tokens[own].append(token)
                self.ends[own] = self._ended(own)
            drawn = drawn[self._leave(logits.device)]
            if not self.going:
                break
            logits = self.model.step(drawn)
        return [end for end in self.ends if end is not None]

    def _leave_unsure(self, logits: Tensor, step: int) -> Tensor:
        """Ends segments whose next token is too uncertain; the rows that stay."""
        if step >= self.borders.shortest:
            unsure = entropies(logits) >= self.borders.entropy
            for own, ends in zip(self.going, unsure.tolist(), strict=True):
                if ends:
                    self.ends[own] = Segment(tuple(self.tokens[own]), None, step)
        return self._leave(logits.device)

    def _leave(self, device: torch.device) -> Tensor:
        """Takes rows out that have ended; the rows that stay, as they were numbered."""
        stay = [row for row, own in enumerate(self.going) if self.ends[own] is None]
        rows = torch.tensor(stay, dtype=torch.long, device=device)
        if 0 < len(stay) < len(self.going):
            self.model.keep(rows)
        self.going = [self.going[row] for row in stay]
        return rows

    def _ended(self, own: int) -> Segment | None:
        """The segment, where its last token ends it."""
        tokens, limit = tuple(self.tokens[own]), self.limits[own]
        said = (*self.begun[own].said, *tokens)
        stop, tokenizer = self.sampling.stop, self.speaker.policy.tokenizer
        finish: Finish | None = None
        if tokens[-1] in self.speaker.engine.eos:
            finish = "eos"
        elif stop and ends_in_stop(said, stop, tokenizer):
            finish = "stop"
        elif len(said) == self.sampling.max_new_tokens:
            finish = "length"
        if finish is None and len(tokens) < limit:
            return None
        return Segment(tokens, finish, len(tokens) - 1)


def entropies(logits: Tensor) -> Tensor:
    """Nats of the distribution of each row, at temperature 1."""
    logps = logits.double().log_softmax(-1)
    return -(logps.exp() * logps).sum(-1)
