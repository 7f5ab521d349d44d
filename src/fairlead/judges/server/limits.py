"""How fast requests leave, and how much they may cost."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

from fairlead.judges.server.cache import Paid
from fairlead.judges.server.requests import Request
from fairlead.judges.server.settings import ServerSettings

MINUTE = 60.0


class Pace:
    """Spreads requests evenly, so that no minute has more of them, or of their tokens, than it may.

    All wait together where the server asks for it: its limits are of the account, not of a request.
    """

    def __init__(self, settings: ServerSettings) -> None:
        self._requests = settings.requests_per_minute
        self._tokens = settings.tokens_per_minute
        self._free_at = 0.0

    async def turn(
        self, request: Request, rest: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Waits until a request may leave.

        Args:
            request: what is to be sent.
            rest: waits for so many seconds.
        """
        while (wait_s := self._free_at - time.monotonic()) > 0:
            await rest(wait_s)
        self._free_at = time.monotonic() + self._gap(request)

    def hold(self, seconds: float) -> None:
        """Nothing leaves for so long."""
        self._free_at = max(self._free_at, time.monotonic() + seconds)

    def _gap(self, request: Request) -> float:
        by_requests = MINUTE / self._requests if self._requests else 0.0
        by_tokens = MINUTE * request.tokens / self._tokens if self._tokens else 0.0
        return max(by_requests, by_tokens)


class Purse:
    """What was spent, what requests under way may take, and whether another one can be afforded.

    Args:
        settings: price and budget.
        spent: what was paid before.
    """

    def __init__(self, settings: ServerSettings, spent: Paid) -> None:
        self._price, self._budget = settings.price, settings.budget
        self._changed = asyncio.Condition()
        self.spent = spent
        self._under_way = Paid()
        self._underestimated = 1.0
        """Most tokens of a prompt per estimated one, so far."""

    async def reserve(self, request: Request) -> Paid | None:
        """Sets aside what a request may cost; None where the budget has no room for it.

        What requests under way may cost can be too much, so it waits for their bills first.
        """
        async with self._changed:
            while True:
                prompt_tokens = math.ceil(self._underestimated * request.prompt_tokens)
                own = Paid(prompt_tokens, request.completion_tokens)
                if self._affords(self.spent.plus(*self._under_way).plus(*own)):
                    self._under_way = self._under_way.plus(*own)
                    return own
                if self._under_way == Paid():
                    return None
                await self._changed.wait()

    async def settle(self, request: Request, reserved: Paid, tokens: tuple[int, int]) -> None:
        """Puts the true cost in the place of what was set aside for it."""
        async with self._changed:
            self._under_way = self._under_way.plus(*(-one for one in reserved))
            self.spent = self.spent.plus(*tokens)
            ratio = tokens[0] / request.prompt_tokens
            self._underestimated = max(self._underestimated, ratio)
            self._changed.notify_all()

    def _affords(self, total: Paid) -> bool:
        tokens, money = self._budget.tokens, self._budget.money
        within = tokens is None or sum(total) <= tokens
        return within and (money is None or self._price.of(*total) <= money)
