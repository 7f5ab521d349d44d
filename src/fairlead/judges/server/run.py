"""One call of a server's respondent: workers that send, wait, repeat, and know when to stop."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from fairlead.core.errors import FairleadError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.judges.server.cache import AnswerCache, Paid
from fairlead.judges.server.failures import Failure
from fairlead.judges.server.hopeless import blind_server, refused, stays_away
from fairlead.judges.server.limits import Pace, Purse
from fairlead.judges.server.line import Line
from fairlead.judges.server.replies import Completion, answer_of, gives_logprobs, read, tokens_of
from fairlead.judges.server.requests import Request, request_of
from fairlead.judges.server.settings import ServerSettings

Tell = Callable[[int, int, Paid], None]
PUT_OFF = ("away", "busy")
DOUBLINGS = 30
"""After which waiting times are longer than anybody waits."""


class _Stopped(Exception):
    """Somebody else found that nothing more should be sent."""


@dataclass
class _Troubles:
    """What one request went through."""

    failed: int = 0
    """Attempts that count."""
    put_off: int = 0
    """Attempts in a row that do not, for want of a server that takes them."""
    since: float = 0.0
    """When the first of these was made."""

    def add(self, failure: Failure) -> None:
        """One more."""
        if failure.kind not in PUT_OFF:
            self.failed, self.put_off = self.failed + 1, 0
            return
        if not self.put_off:
            self.since = time.monotonic()
        self.put_off += 1


class Run:
    """Asks many questions within one event loop.

    Args:
        settings: the server.
        cache: where answers are kept.
        pace: when requests may leave.
        spent: what was paid before.
    """

    def __init__(
        self, settings: ServerSettings, cache: AnswerCache, pace: Pace, spent: Paid
    ) -> None:
        self.settings, self.cache, self.pace = settings, cache, pace
        self.purse = Purse(settings, spent)
        self.line = Line(settings, settings.key())
        self.stop: FairleadError | None = None
        """Why nothing more is sent."""
        self.stopped = asyncio.Event()
        self.served_at = time.monotonic()
        """When the server last gave an answer."""

    async def answers(self, questions: Mapping[str, Question], tell: Tell) -> dict[str, Answer]:
        """An answer to each question, by the same keys.

        Raises:
            FairleadError: nothing more could be asked; requests under way were waited for.
        """
        known: dict[str, Answer] = {}
        waiting = iter(questions.values())

        async def work() -> None:
            for question in waiting:
                # Made only now: all requests at once would fill the memory.
                request = request_of(question, self.settings)
                answer = await self._ended(request)
                if answer is None:
                    return
                known[request.key] = answer
                tell(len(known), len(questions), self.purse.spent)

        workers = min(self.settings.concurrency, len(questions))
        await asyncio.gather(*(work() for _ in range(workers)))
        if self.stop:
            raise self.stop
        return known

    async def close(self) -> None:
        """Ends the connections."""
        await self.line.close()

    async def _ended(self, request: Request) -> Answer | None:
        """How a question ends; None where nothing more is sent."""
        try:
            return self._kept(request) or await self._settled(request)
        except _Stopped:
            return None
        except FairleadError as error:
            self.stop = self.stop or error
            self.stopped.set()
            return None

    def _kept(self, request: Request) -> Answer | None:
        body = self.cache.body(request.key)
        if body is None:
            return None
        return self._answer(Completion.model_validate_json(body), request)

    async def _settled(self, request: Request) -> Answer:
        """Asks until there is an answer or a name for its absence."""
        troubles = _Troubles()
        while True:
            reserved = await self.purse.reserve(request)
            if reserved is None:
                return Answer(state="over_budget", detail="one more could pass the budget")
            try:
                return await self._attempt(request, reserved)
            except Failure as failure:
                troubles.add(failure)
                if (end := self._end(failure, troubles)) is not None:
                    return end
                if failure.wait_s is not None:
                    self.pace.hold(failure.wait_s)
            await self._rest(self._backoff_s(request, troubles))

    async def _attempt(self, request: Request, reserved: Paid) -> Answer:
        """Sends a request once; the attempt is noted before, the answer kept before it is used."""
        tokens = (0, 0)
        try:
            await self.pace.turn(request, self._rest)
            if self.stop:
                raise _Stopped
            attempt = self.cache.begin(request.key)
            try:
                found = read(await self.line.send(request))
            except Failure as failure:
                tokens = failure.tokens
                self.cache.end(attempt, failure.kind, tokens)
                raise
            tokens, self.served_at = tokens_of(found, request), time.monotonic()
            body = found.model_dump_json(exclude_none=True)
            self.cache.keep(request.key, attempt, body, tokens)
        finally:
            await self.purse.settle(request, reserved, tokens)
        return self._answer(found, request)

    async def _rest(self, seconds: float) -> None:
        """Waits, unless there is nothing left to wait for."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopped.wait(), seconds)
            raise _Stopped

    def _end(self, failure: Failure, troubles: _Troubles) -> Answer | None:
        """What a question ends in after a failure; None to try again.

        Raises:
            ServiceError: no other question would fare better.
        """
        if failure.kind == "fatal":
            raise refused(failure, self.settings)
        if failure.kind == "declined":
            return Answer(state="judge_refused", detail=failure.detail)
        if failure.kind in PUT_OFF:
            return self._out_of_patience(failure, troubles)
        if failure.kind == "unfit" or troubles.failed == self.settings.attempts:
            return Answer(state="error", detail=f"attempt {troubles.failed}: {failure.detail}")
        return None

    def _out_of_patience(self, failure: Failure, troubles: _Troubles) -> Answer | None:
        waited_s = time.monotonic() - troubles.since
        if waited_s + (failure.wait_s or 0.0) <= self.settings.patience_s:
            return None
        if self.served_at < troubles.since:
            raise stays_away(failure, self.settings)
        return Answer(state="error", detail=f"put off for {waited_s:.0f} s: {failure.detail}")

    def _backoff_s(self, request: Request, troubles: _Troubles) -> float:
        times = troubles.failed + troubles.put_off - 1
        doubled = self.settings.backoff_s * 2.0 ** min(times, DOUBLINGS)
        longest = min(doubled, self.settings.longest_backoff_s)
        stream = Seed(self.settings.seed).child("backoff", request.key, times)
        return longest * float(stream.numpy().uniform(0.5, 1.0))

    def _answer(self, found: Completion, request: Request) -> Answer:
        """What a completion answers.

        Raises:
            ServiceError: log-probabilities are needed and the server gives none.
        """
        answer = answer_of(found, request)
        blind = request.question.options and not gives_logprobs(found)
        if blind and self.settings.without_logprobs == "refuse" and answer.state != "judge_refused":
            raise blind_server(self.settings)
        return answer
