"""Replies by a decoder that follows a reward: one request after the other, each as a whole."""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from fairlead.core.errors import ConfigError, DataError, FairleadError
from fairlead.decoding.base import Decoded, Decoder
from fairlead.generation.sampling import Sampling
from fairlead.serving.orders import Job, Piece
from fairlead.serving.text import cut

WORDS = re.compile(r"\s*\S+")


class Turns:
    """Answers by decoding, a request at a time; streams get the finished reply word by word.

    Args:
        decoder: the decoder for a request's settings.
    """

    def __init__(self, decoder: Callable[[Sampling], Decoder]) -> None:
        self.decoder = decoder
        self.under_way = 0

    def __len__(self) -> int:
        return self.under_way

    @property
    def free(self) -> int:
        """Jobs that could begin now."""
        return int(self.under_way == 0)

    def places(self, job: Job) -> int:
        """One, however many replies it asks for."""
        return 1

    def prepare(self) -> None:
        """Nothing: the first request makes what it needs."""

    def chosen(self, waiting: deque[Job]) -> list[Job]:
        """Takes the first."""
        return [waiting.popleft()] if waiting else []

    def drop(self, jobs: Sequence[Job]) -> None:
        """Nothing: whoever is under way is answered within the turn."""

    def turn(self, new: Sequence[Job]) -> list[tuple[Job, Piece | FairleadError]]:
        """Answers the new jobs."""
        return [(job, event) for job in new for event in self._answered(job)]

    def _answered(self, job: Job) -> Iterator[Piece | FairleadError]:
        order = job.order
        assert order.prompt is not None, "text without a chat format is refused before"
        self.under_way = order.n
        try:
            decoder = self.decoder(order.sampling)
            found = decoder.decode([order.prompt] * order.n, seed=order.seed)
        except (DataError, ConfigError) as error:  # This request's own fault; others go on.
            yield error
            return
        finally:
            self.under_way = 0
        for index, one in enumerate(found):
            text = cut(one.reply.text, order.sampling.stop).strip()
            words = WORDS.findall(text) if order.streams else [text]
            yield from _pieces(index, one, words)


def _pieces(index: int, decoded: Decoded, words: Sequence[str]) -> Iterator[Piece]:
    reply = decoded.reply
    for word in words[:-1]:
        yield Piece(index, word)
    yield Piece(
        index,
        words[-1] if words else "",
        finish="length" if reply.finish == "length" else "stop",
        tokens=len(reply.response_ids),
        score=decoded.score,
        spent=decoded.spent,
    )
