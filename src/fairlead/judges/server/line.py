"""One request over the network, once: its answer, or a failure that says what to do."""

import asyncio
from typing import Any

from fairlead.core.errors import ConfigError
from fairlead.judges.server.failures import Failure, refusal
from fairlead.judges.server.requests import Request
from fairlead.judges.server.settings import ServerSettings

IDEMPOTENCY = "Idempotency-Key"
"""Header with the request's key, so that a gateway which knows it answers a repetition for free."""
NO_KEY = "none"


class Line:
    """A way to the server, for one event loop.

    Args:
        settings: where it is.
        key: of the account; goes into requests and nowhere else.
    """

    def __init__(self, settings: ServerSettings, key: str) -> None:
        self._openai = installed()
        self._key = key
        self._timeout_s = settings.timeout_s
        # Repeating is counted here, so the package must not repeat by itself.
        self._client = self._openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=key or NO_KEY,
            timeout=settings.timeout_s,
            max_retries=0,
        )
        # Taken from the environment, they would name somebody's account to any server.
        self._client.organization = self._client.project = None

    async def send(self, request: Request) -> str:
        """The body of the answer.

        Raises:
            Failure: there is none.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._client.chat.completions.with_raw_response.create(
                    model="",
                    messages=[],
                    extra_body=dict(request.body),
                    extra_headers={IDEMPOTENCY: request.key},
                )
                return answer.http_response.text
        except TimeoutError:
            raise Failure("lost", f"no whole answer in {self._timeout_s:g} s") from None
        except self._openai.APIStatusError as error:
            answer = error.response
            raise self._hidden(refusal(error.status_code, answer.text, answer.headers)) from None
        except self._openai.APIConnectionError as error:  # of which time-outs are a kind
            raise self._hidden(_unconnected(error)) from None

    async def close(self) -> None:
        """Ends the connections."""
        await self._client.close()

    def _hidden(self, failure: Failure) -> Failure:
        """Without the key, which some servers repeat in what they say."""
        if self._key:
            failure.detail = failure.detail.replace(self._key, "(key)")
        return failure


def installed() -> Any:
    """The `openai` package.

    Raises:
        ConfigError: it is missing.
    """
    try:
        import openai
    except ImportError as error:
        raise ConfigError(
            "judges behind a server need the package openai",
            expected="openai is installed",
            got=str(error),
            remedy="pip install 'fairlead[judge]'",
        ) from error
    return openai


def _unconnected(error: Exception) -> Failure:
    """Whether nothing was sent yet, or an answer may have been paid for and lost."""
    cause = error.__cause__
    name = type(cause or error).__name__
    kind = "away" if name in ("ConnectError", "ConnectTimeout") else "lost"
    return Failure(kind, f"{name}: {cause or error}")
