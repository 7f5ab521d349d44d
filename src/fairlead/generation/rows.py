"""Replies in the making, as tensors: a step costs a few operations however many rows there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from fairlead.core.errors import TrainingError
from fairlead.core.seeds import Seed
from fairlead.data.chat import Ids
from fairlead.generation.sampling import Finish, Rollout, Sampling, choose

LEAVING = 0.25
"""Finished rows leave once they are this share of the batch: leaving copies the cache."""


@dataclass(frozen=True)
class Asked:
    """One reply that is asked for."""

    prompt_index: int
    sample: int
    prompt: Ids


class _State(NamedTuple):
    """What is known of the rows, all [row, ...]."""

    uniforms: Tensor
    """[row, token], float64; follow from the seed and the row's own indices alone."""
    tokens: Tensor
    """[row, token]."""
    logps: Tensor
    """[row, token]."""
    lengths: Tensor
    """Tokens drawn so far, [row, 1]; what a finished row draws behind its end does not count."""
    ends: Tensor
    """Length at which the row ended, [row, 1]; 0 while it goes on."""
    stopped: Tensor
    """Whether a stop text ended it, [row, 1]."""


class Rows:
    """Rows under way, one behind the other.

    Args:
        sampling: how to draw and when to end.
        eos: [vocabulary], True for tokens that end a reply.
        stops: whether a reply of these tokens ends in a stop text; asked only where there are any.
        seed: each reply draws from `seed.child(prompt index, sample)`.
    """

    def __init__(
        self, sampling: Sampling, eos: Tensor, stops: Callable[[Sequence[int]], bool], seed: Seed
    ) -> None:
        self.sampling, self.eos, self.stops, self.seed = sampling, eos, stops, seed
        self.asked: list[Asked] = []
        self.state = self._fresh([])

    def __len__(self) -> int:
        return len(self.asked)

    def join(self, asked: Sequence[Asked]) -> None:
        """Adds rows behind those under way."""
        self.state = _State(*map(torch.cat, zip(self.state, self._fresh(asked), strict=True)))
        self.asked += asked

    def _fresh(self, asked: Sequence[Asked]) -> _State:
        rows, most, device = len(asked), self.sampling.max_new_tokens, self.eos.device
        streams = [self.seed.child(row.prompt_index, row.sample).numpy() for row in asked]
        uniforms = [torch.from_numpy(stream.random(most)) for stream in streams]
        whole, flag = (
            torch.zeros(rows, 1, dtype=d, device=device) for d in (torch.long, torch.bool)
        )
        return _State(
            uniforms=torch.stack(uniforms).to(device)
            if uniforms
            else whole.double().expand(0, most),
            tokens=torch.zeros(rows, most, dtype=torch.long, device=device),
            logps=torch.zeros(rows, most, dtype=torch.float64, device=device),
            lengths=whole,
            ends=whole.clone(),
            stopped=flag,
        )

    def draw(self, logits: Tensor) -> tuple[Tensor, bool]:
        """Draws a token for every row.

        Args:
            logits: for each row's next token, [row, vocabulary].

        Returns:
            Tokens [row], and whether it is time for finished rows to leave.

        Raises:
            TrainingError: the logits of a row that goes on are not finite.
        """
        _, tokens, logps, lengths, ends, stopped = self.state
        drawn, own = self._drawn(logits)
        tokens.scatter_(1, lengths, drawn)
        logps.scatter_(1, lengths, own)
        lengths += 1
        going, is_eos = ends == 0, self.eos[drawn]
        if self.sampling.stop:
            self._stop(going & ~is_eos)
        full = lengths == self.sampling.max_new_tokens
        ends += lengths * (going & (is_eos | stopped | full))
        broken = going & ~own.isfinite()
        # The only wait for the device in a step.
        ended, spent, wrong = torch.cat([ends > 0, full, broken], dim=1).sum(0).tolist()
        if wrong:
            self._report(broken)
        return drawn.squeeze(1), bool(spent) or 0 < ended >= LEAVING * len(self)

    def _drawn(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and their log-probabilities, [row, 1] each."""
        uniforms = self.state.uniforms.gather(1, self.state.lengths)
        tokens, logps = choose(logits, self.sampling, uniforms.squeeze(1))
        return tokens[:, None], logps[:, None].double()

    def _stop(self, rows: Tensor) -> None:
        """Notes which of these rows [row, 1] end in a stop text."""
        for row in rows.squeeze(1).nonzero().squeeze(1).tolist():
            length = int(self.state.lengths[row])
            self.state.stopped[row] = self.stops(self.state.tokens[row, :length].tolist())

    def _report(self, broken: Tensor) -> None:
        row = int(broken.squeeze(1).nonzero()[0])
        place = int(self.state.lengths[row]) - 1
        raise TrainingError(
            "the policy's logits are not finite, so nothing can be sampled",
            where=f"prompt {self.asked[row].prompt_index}, token {place} of the reply",
            got=f"log-probability {float(self.state.logps[row, place])}",
            remedy="go back to the last sound checkpoint and lower the learning rate",
        )

    def leave(self) -> tuple[Tensor, list[Rollout]]:
        """Takes the finished rows out; who stays (ascending indices), and their replies."""
        finished = self.state.ends.squeeze(1) > 0
        replies = [self._rollout(row) for row in finished.nonzero().squeeze(1).tolist()]
        stay = (~finished).nonzero().squeeze(1)
        self.state = _State(*(value[stay] for value in self.state))
        self.asked = [self.asked[row] for row in stay.tolist()]
        return stay, replies

    def _rollout(self, row: int) -> Rollout:
        asked, length = self.asked[row], int(self.state.ends[row])
        tokens = self.state.tokens[row, :length]
        finish: Finish = "stop" if bool(self.state.stopped[row]) else "length"
        return Rollout(
            prompt_index=asked.prompt_index,
            sample=asked.sample,
            prompt=asked.prompt,
            tokens=tuple(tokens.tolist()),
            logps=tuple(self.state.logps[row, :length].tolist()),
            finish="eos" if bool(self.eos[tokens[-1]]) else finish,
        )
