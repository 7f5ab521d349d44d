"""A request once it is understood, and what happens on the way to its reply."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from fairlead.core.errors import FairleadError
from fairlead.core.seeds import Seed
from fairlead.data.chat import Ids
from fairlead.decoding.base import Spent
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt
from fairlead.serving.problems import TimedOut

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Order:
    """What is asked of the model."""

    prompt: Prompt | None
    """None for text that is continued without a chat format."""
    ids: Ids
    """The prompt's tokens."""
    n: int
    sampling: Sampling
    seed: Seed
    """Reply k draws from `seed.child(0, k)`, as the local engine's first prompt does."""
    top: int | None = None
    """How many alternatives of each token are told; None for no probabilities at all."""
    streams: bool = False
    strip: bool = True
    """Whether white space around the reply is left out."""


@dataclass(frozen=True)
class Choice:
    """A token that was drawn, or might have been."""

    text: str
    logp: float
    """Nats, of the model itself: at temperature 1, without truncation."""


@dataclass(frozen=True)
class Drawn:
    """A token of the reply with its likeliest alternatives."""

    token: Choice
    top: tuple[Choice, ...]


@dataclass(frozen=True)
class Piece:
    """More of one reply; all of it where the request does not stream."""

    index: int
    """Which of the request's replies."""
    text: str
    drawn: tuple[Drawn, ...] = ()
    finish: Finish | None = None
    tokens: int = 0
    """Tokens of the whole reply, its EOS included; told with `finish`."""
    score: float | None = None
    """What the reward said, where one chose the reply; told with `finish`."""
    spent: Spent | None = None
    """What a decoder computed for the reply; told with `finish`."""


@dataclass(eq=False)
class Job:
    """An order on its way, and its pieces as they come. Belongs to one event loop."""

    order: Order
    timeout_s: float
    withdraw: Callable[["Job"], None]
    """Takes the job away from the worker, wherever it is."""

    def __post_init__(self) -> None:
        self.begun = time.monotonic()
        self.loop = asyncio.get_running_loop()
        self.arrived = asyncio.Queue[Piece | FairleadError]()
        self.left = self.order.n
        """Replies that are not whole yet."""
        self.alarm = self.loop.call_later(self.timeout_s, self.arrived.put_nowait, self._late())

    def _late(self) -> FairleadError:
        return TimedOut(
            "the reply took too long",
            expected=f"its end within {self.timeout_s:g} s",
            remedy="ask for fewer tokens, or start the server with a longer --timeout",
        )

    async def batches(self) -> AsyncIterator[list[Piece]]:
        """All pieces, in order, as many at a time as are there, until every reply is whole.

        Raises:
            FairleadError: the request cannot be answered.
        """
        while self.left:
            batch = [await self.arrived.get()]
            while not self.arrived.empty():
                batch.append(self.arrived.get_nowait())
            pieces = [one for one in batch if isinstance(one, Piece)]
            self.left -= sum(piece.finish is not None for piece in pieces)
            if pieces:
                yield pieces
            if self.left and len(pieces) < len(batch):
                raise next(one for one in batch if isinstance(one, FairleadError))

    def close(self) -> None:
        """Nobody waits for the rest."""
        self.alarm.cancel()
        if self.left:
            self.withdraw(self)
