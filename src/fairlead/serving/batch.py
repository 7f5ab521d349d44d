"""Replies under way, token by token: requests join while others go on, and leave when they end.

The parts are those of the local engine, and so is every reply: what a request draws depends on its
own seed alone, not on its companions. Rows differ in their settings, so each has a state of its
own here, where the engine has tensors for all.
"""

import time
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fairlead.core.errors import TrainingError
from fairlead.generation.decoders import decoder
from fairlead.generation.local import eos_tokens
from fairlead.generation.recording import WORTH
from fairlead.generation.sampling import Sampling, choose
from fairlead.models.policy import Policy
from fairlead.serving.orders import Choice, Drawn, Finish, Job, Piece
from fairlead.serving.text import Unfolding

READ = 4096
"""Tokens of prompts read at once; replies under way wait meanwhile."""

WAVES = 8
"""Rows that join together are attended to together; with so many groups, new ones are gathered."""

GATHER_S = 0.05
"""Seconds that a request may wait for others to join with."""


class Row:
    """One reply in the making."""

    def __init__(
        self, job: Job, index: int, wave: int, tokenizer: Any, eos: frozenset[int]
    ) -> None:
        order = job.order
        self.job, self.index, self.wave = job, index, wave
        self.eos = eos | _special(tokenizer, order.sampling.stop)
        self.text = Unfolding(tokenizer, order.sampling.stop, strip=order.strip)
        self.watched = order.streams or bool(order.sampling.stop)
        """Whether the text is needed before the reply ends."""
        self.drawing = order.sampling.model_copy(update={"max_new_tokens": 1, "stop": ()})
        """Rows with equal settings are drawn together."""
        most = order.sampling.max_new_tokens
        greedy = order.sampling.temperature == 0
        stream = order.seed.child(0, index).numpy()
        self.uniforms = [0.0] * most if greedy else stream.random(most).tolist()
        self.tokens: list[int] = []
        self.drawn: list[Drawn] = []
        """Those of which nobody was told yet."""
        self.finish: Finish | None = None

    @property
    def uniform(self) -> float:
        """The random number of the next token."""
        return self.uniforms[len(self.tokens)]

    def take(self, token: int, drawn: Drawn | None) -> Piece | None:
        """Adds a token; what there is to tell of it."""
        self.tokens.append(token)
        text = ""
        if token in self.eos:
            self.finish = "stop"
        else:
            self.drawn += [] if drawn is None else [drawn]
            text = self.text.add([token]) if self.watched else ""
            if self.text.stopped:
                self.finish = "stop"
            elif len(self.tokens) == len(self.uniforms):
                self.finish = "length"
        if self.finish is not None:
            return self._last(text)
        return self._more(text) if self.job.order.streams and text else None

    def _more(self, text: str) -> Piece:
        told, self.drawn = tuple(self.drawn), []
        return Piece(self.index, text, told)

    def _last(self, text: str) -> Piece:
        if not self.watched:
            text = self.text.add([token for token in self.tokens if token not in self.eos])
        text += self.text.end()
        told = text if self.job.order.streams else self.text.whole
        return Piece(self.index, told, tuple(self.drawn), self.finish, tokens=len(self.tokens))


def _special(tokenizer: Any, stops: Sequence[str]) -> frozenset[int]:
    """Stop texts that are a special token: such a token shows nothing, but ends the reply."""
    known = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    return frozenset(known[stop] for stop in stops if stop in known)


class Batch:
    """The rows under way.

    Args:
        policy: its weights must not change any more.
        rows: how many at most.
    """

    def __init__(self, policy: Policy, *, rows: int) -> None:
        self.policy, self.most = policy, rows
        self.model = decoder(policy)
        self.eos = eos_tokens(policy)
        self.rows: list[Row] = []
        self.pending: Tensor | None = None
        """The token that each row drew last, [row]; the model has not read it yet."""
        self.joined = 0
        """How often rows have joined."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def free(self) -> int:
        """Replies that could begin now; where rows cannot join, only an empty batch has room."""
        return self.most - len(self) if self.model.refills or not self.rows else 0

    def places(self, job: Job) -> int:
        """One for each reply."""
        return job.order.n

    def prepare(self) -> None:
        """Makes the first step, which takes longer: recordings and blocked weights."""
        if self.model.refills:
            first = self.model.join([(min(self.eos),)], [0], WORTH + 1)
            self.model.step(first.argmax(-1))
            self.model.keep(torch.zeros(0, dtype=torch.long))

    def chosen(self, waiting: deque[Job]) -> list[Job]:
        """Takes from the front of the queue what has room now."""
        found: list[Job] = []
        rows, tokens = len(self), 0
        opens = self._opens(waiting)
        while opens and waiting:
            order = waiting[0].order
            rows, tokens = rows + order.n, tokens + len(order.ids)
            if rows > self.most or (found and tokens > READ):
                break
            found.append(waiting.popleft())
        return found

    def _opens(self, waiting: deque[Job]) -> bool:
        """Whether rows may join now."""
        if not self.rows:
            return True
        apart = len({row.wave for row in self.rows}) < WAVES
        gathered = not waiting or time.monotonic() > waiting[0].begun + GATHER_S
        return self.model.refills and (apart or gathered)

    def drop(self, jobs: Sequence[Job]) -> None:
        """Takes the rows of these jobs out."""
        gone = set(map(id, jobs))
        self._keep([i for i, row in enumerate(self.rows) if id(row.job) not in gone])

    def turn(self, new: Sequence[Job]) -> list[tuple[Job, Piece]]:
        """One token for every row, those of new jobs included.

        Raises:
            TrainingError: the model's logits are not finite.
        """
        parts = [] if self.pending is None else [self.model.step(self.pending)]
        if new:
            parts.append(self._join(new))
        if not parts:
            return []
        logits = parts[0] if len(parts) == 1 else torch.cat(parts)
        self.pending = self._draw(logits)
        told = self._told(logits, self.pending.tolist())
        self._keep([i for i, row in enumerate(self.rows) if row.finish is None])
        return told

    def _join(self, jobs: Sequence[Job]) -> Tensor:
        """Reads the prompts of new jobs, each once; logits of their rows' first tokens."""
        self.joined += 1
        self.rows += [
            Row(job, index, self.joined, self.policy.tokenizer, self.eos)
            for job in jobs
            for index in range(job.order.n)
        ]
        owners = [place for place, job in enumerate(jobs) for _ in range(job.order.n)]
        room = max(job.order.sampling.max_new_tokens for job in jobs) - 1
        return self.model.join([job.order.ids for job in jobs], owners, room)

    def _draw(self, logits: Tensor) -> Tensor:
        """The next token of each row, [row]; rows of equal settings are drawn together."""
        groups: defaultdict[Sampling, list[int]] = defaultdict(list)
        for place, row in enumerate(self.rows):
            groups[row.drawing].append(place)
        tokens = torch.empty(len(self), dtype=torch.long, device=logits.device)
        logps = torch.empty(len(self), dtype=torch.float64, device=logits.device)
        for sampling, places in groups.items():
            uniforms = [self.rows[place].uniform for place in places]
            own = logits if len(groups) == 1 else logits[places]
            drawn = torch.tensor(uniforms, dtype=torch.float64, device=logits.device)
            tokens[places], chosen = choose(own, sampling, drawn)
            logps[places] = chosen.double()
        if not bool(logps.isfinite().all()):
            raise TrainingError(
                "the model's logits are not finite, so nothing can be sampled",
                where="the batch under way",
                remedy="serve a sound checkpoint",
            )
        return tokens

    def _told(self, logits: Tensor, tokens: Sequence[int]) -> list[tuple[Job, Piece]]:
        asked = [place for place, row in enumerate(self.rows) if row.job.order.top is not None]
        known = dict(zip(asked, self._likely(logits, tokens, asked), strict=True))
        found = [
            (row.job, row.take(token, known.get(place)))
            for place, (row, token) in enumerate(zip(self.rows, tokens, strict=True))
        ]
        return [(job, piece) for job, piece in found if piece is not None]

    def _likely(self, logits: Tensor, tokens: Sequence[int], places: Sequence[int]) -> list[Drawn]:
        """The tokens of these rows with the model's own log-probabilities."""
        if not places:
            return []
        logps = logits[list(places)].float().log_softmax(-1)
        most = max(self.rows[place].job.order.top or 0 for place in places)
        best, which = logps.topk(min(most, logps.shape[-1]), dim=-1)
        found: list[Drawn] = []
        for i, place in enumerate(places):
            own = Choice(self._shown(tokens[place]), float(logps[i, tokens[place]]))
            top = self.rows[place].job.order.top or 0
            pairs = zip(which[i, :top].tolist(), best[i, :top].tolist(), strict=True)
            found.append(Drawn(own, tuple(Choice(self._shown(t), logp) for t, logp in pairs)))
        return found

    def _shown(self, token: int) -> str:
        return str(self.policy.tokenizer.decode([token], clean_up_tokenization_spaces=False))

    def _keep(self, places: Sequence[int]) -> None:
        """Drops all rows but these."""
        if len(places) == len(self.rows):
            return
        stay = torch.tensor(places, dtype=torch.long, device=self.policy.device)
        self.model.keep(stay)
        self.rows = [self.rows[place] for place in places]
        if self.pending is not None:
            self.pending = self.pending[stay] if places else None
