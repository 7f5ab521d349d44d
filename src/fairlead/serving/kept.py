"""Completions of the recent past, which people may say something about."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from fairlead.records import Message
from fairlead.serving.problems import Gone, NotFound

MOST = 10_000
"""Completions kept."""
CHARACTERS = 50_000_000
"""Of all texts kept."""
REMEMBERED = 10 * MOST
"""Ids known to have been kept once."""


@dataclass(frozen=True)
class Completed:
    """What was asked, and what the model replied."""

    id: str
    messages: tuple[Message, ...]
    replies: tuple[str, ...]
    model: str
    sampling: dict[str, Any]
    """How it was drawn."""

    @property
    def size(self) -> int:
        """Characters."""
        texts = [message.content for message in self.messages]
        return sum(map(len, (*texts, *self.replies)))


class Kept:
    """The last completions, in memory; the oldest go first."""

    def __init__(self, *, most: int = MOST, characters: int = CHARACTERS) -> None:
        self.most, self.characters = most, characters
        self.completions: OrderedDict[str, Completed] = OrderedDict()
        self.gone: OrderedDict[str, None] = OrderedDict()
        self.size = 0

    def put(self, completed: Completed) -> None:
        """Keeps one more."""
        self.completions[completed.id] = completed
        self.size += completed.size
        while len(self.completions) > self.most or self.size > self.characters:
            name, oldest = self.completions.popitem(last=False)
            self.size -= oldest.size
            self.gone[name] = None
        while len(self.gone) > REMEMBERED:
            self.gone.popitem(last=False)

    def get(self, name: str) -> Completed:
        """A completion by its id.

        Raises:
            Gone: it was too long ago.
            NotFound: there was none of this id, or the server was started again since.
        """
        if name in self.completions:
            return self.completions[name]
        if name in self.gone:
            raise Gone(
                "this completion was too long ago",
                expected=f"one of the last {len(self.completions)}",
                got=name,
                remedy="send feedback soon after the reply",
            ).at("completion_id")
        raise NotFound(
            "there is no completion of this id",
            got=name,
            remedy="take the `id` of a whole answer of this server, given since its last start",
        ).at("completion_id")
