"""Asks a model behind a server: in parallel, within limits, and nothing twice that was answered."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fairlead.judges.asking import Answer, Question
from fairlead.judges.server.cache import AnswerCache, Paid
from fairlead.judges.server.limits import Pace
from fairlead.judges.server.line import installed
from fairlead.judges.server.requests import request_of
from fairlead.judges.server.run import Run
from fairlead.judges.server.settings import ServerSettings

T = TypeVar("T")


class Progress(NamedTuple):
    """How far a call of `ask` has come."""

    done: int
    """Different requests that have ended, those from the cache included."""
    total: int
    tokens: int
    """Paid for by this respondent so far, those of cached answers included."""
    money: float
    """The same in the currency of the price."""


class ServerRespondent:
    """A model behind an OpenAI-compatible server.

    Whatever was answered is kept before it is used, so a run that was killed asks only for what is
    missing. Every question ends with a state; what makes all further questions hopeless (a wrong
    key, an unknown model, a refused field, a server that stays away) ends the call instead, after
    the requests under way have come back and are kept.

    Args:
        settings: the server, its limits and its price.
        cache: file of answers; None for one that lasts as long as this object.
        progress: called after every request that ended.

    Raises:
        ConfigError: the package `openai` is missing, or the key's variable is not set.
        DataError: the cache's file is something else.
    """

    def __init__(
        self,
        settings: ServerSettings,
        cache: Path | None = None,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        installed()
        settings.key()
        self.settings = settings
        self._cache = AnswerCache(cache)
        self._pace = Pace(settings)
        self._progress = progress
        self._spent = Paid()
        self._counted: set[str] = set()

    @property
    def name(self) -> str:
        """What records and reports call it."""
        return f"{self.settings.model} at {self.settings.host}"

    @property
    def spent(self) -> Paid:
        """Tokens paid for the questions asked so far, now or in earlier runs."""
        return self._spent

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        """One answer to each question, in their order; equal questions are asked once.

        Raises:
            ServiceError: no question could be answered as things are.
            ConfigError: a question cannot be put to this server.
            DataError: an answer could not be stored.
        """
        requests = {q: request_of(q, self.settings).key for q in dict.fromkeys(questions)}
        different = {key: question for question, key in requests.items()}
        known = _finished(self._all(different))
        return [known[requests[question]] for question in questions]

    def close(self) -> None:
        """Closes the cache."""
        self._cache.close()

    async def _all(self, questions: dict[str, Question]) -> dict[str, Answer]:
        """Answers by key."""
        self._count(questions)
        run = Run(self.settings, self._cache, self._pace, self._spent)
        try:
            return await run.answers(questions, self._tell)
        finally:
            self._spent = run.purse.spent
            await run.close()

    def _count(self, keys: dict[str, Question]) -> None:
        """Adds what earlier runs paid for these questions."""
        for key in keys.keys() - self._counted:
            self._spent = self._spent.plus(*self._cache.paid(key))
        self._counted |= keys.keys()

    def _tell(self, done: int, total: int, spent: Paid) -> None:
        if self._progress is not None:
            self._progress(Progress(done, total, sum(spent), self.settings.price.of(*spent)))


def _finished(work: Coroutine[Any, Any, T]) -> T:
    """The result of asynchronous work, also where a loop is running already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
