"""What goes wrong with a request, and how OpenAI's clients are told."""

import json
import logging
import secrets
import traceback
from typing import Any, ClassVar

from fairlead.core.errors import ConfigError, DataError, FairleadError, ServiceError
from fairlead.feedback.errors import Conflict, Missing, Refused

ERRORS = logging.getLogger("fairlead.serving.errors")


class Refusal(FairleadError):
    """A request that is not answered; every kind has a status and OpenAI's name for it."""

    status: ClassVar[int] = 400
    type: ClassVar[str] = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    """The field of the request that is at fault."""

    def at(self, param: str | None, code: str | None = None) -> "Refusal":
        """The same with the field at fault."""
        self.param, self.code = param, code or self.code
        return self


class Unauthorised(Refusal):
    """No key, or a wrong one."""

    status = 401
    code = "invalid_api_key"


class Forbidden(Refusal):
    """A request that this server must not answer."""

    status = 403
    type = "permission_error"


class NotFound(Refusal):
    """There is no such thing here."""

    status = 404
    code = "not_found"


class NotAllowed(Refusal):
    """The address does not take this kind of request."""

    status = 405
    code = "method_not_allowed"


class Contradiction(Refusal):
    """Something else is stored already."""

    status = 409
    type = "conflict_error"


class Gone(Refusal):
    """It was here, but not any more."""

    status = 410
    code = "expired"


class TooLarge(Refusal):
    """More bytes than the server takes."""

    status = 413
    code = "request_too_large"


class Overloaded(Refusal):
    """All places are taken, those of the queue as well."""

    status = 429
    type = "rate_limit_error"
    code = "queue_full"
    wait_s: float = 1.0
    """Seconds after which a place is expected to be free."""


class Failed(Refusal):
    """A bug: this request cannot be answered."""

    status = 500
    type = "server_error"
    code = "internal_error"


class Broken(Failed):
    """The model failed; nothing can be answered until the server is started again."""

    code = "model_failed"


class NotConfigured(Refusal):
    """The server was started without what this needs."""

    status = 501
    code = "not_configured"


class Unavailable(Refusal):
    """Something that this needs does not answer just now."""

    status = 503
    type = "server_error"
    code = "unavailable"


class Stopping(Unavailable):
    """The server is being stopped."""

    code = "stopping"


class TimedOut(Refusal):
    """The reply took longer than the server's limit."""

    status = 504
    type = "timeout_error"
    code = "timeout"


FINAL = (Failed, TimedOut, NotConfigured)
"""What trying again at once does not help against; clients are told so."""


KINDS: tuple[tuple[type[FairleadError], type[Refusal]], ...] = (
    (Refused, Forbidden),
    (Missing, NotFound),
    (Conflict, Contradiction),
    (DataError, Refusal),
    (ConfigError, Refusal),
    (ServiceError, Unavailable),
)
"""How errors of other parts are answered; all others are failures of this server."""


def as_refusal(error: FairleadError) -> Refusal:
    """An error of any part as one that has a status."""
    if isinstance(error, Refusal):
        return error
    kind = next((status for found, status in KINDS if isinstance(error, found)), Failed)
    return kind(
        error.what,
        where=error.where,
        expected=error.expected,
        got=error.got,
        remedy=error.remedy,
    )


def failed(error: Exception, what: str, kind: type[Failed] = Failed) -> Failed:
    """What is told of a bug or of a model that fails; the log has the lines of code by the same id.

    The message of a foreign error may quote what somebody wrote, so it goes nowhere.
    """
    name = new_id("error")
    told = sentence(error) if isinstance(error, FairleadError) else type(error).__name__
    lines = "".join(traceback.format_tb(error.__traceback__))
    ERRORS.error("%s: %s: %s\n%s", name, what, told, lines)
    return kind(
        what,
        where=name,
        got=told,
        remedy="tell whoever runs the server; its log has the details under this id",
    )


def sentence(error: FairleadError) -> str:
    """What, where, expected, got and remedy on one line."""
    where = f" ({error.where})" if error.where else ""
    facts = [
        f"{name} {text}"
        for name, text in (("expected", error.expected), ("got", error.got))
        if text
    ]
    told = f"{error.what}{where}" + (f": {', '.join(facts)}" if facts else "")
    return f"{told}; {error.remedy}" if error.remedy else told


def body(error: Refusal) -> dict[str, Any]:
    """OpenAI's shape of an error."""
    return {
        "error": {
            "message": sentence(error),
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }


def headers(error: Refusal) -> dict[str, str]:
    """What the answer's headers say beside the body."""
    found: dict[str, str] = {}
    if isinstance(error, Overloaded):
        found["retry-after"] = str(max(1, round(error.wait_s)))
    if isinstance(error, Unauthorised):
        found["www-authenticate"] = "Bearer"
    if isinstance(error, FINAL):
        found["x-should-retry"] = "false"
    return found


def event(error: Refusal) -> str:
    """The last event of a stream that could not be ended."""
    return f"data: {json.dumps(body(error), ensure_ascii=False)}\n\n"


def new_id(kind: str) -> str:
    """A name that nobody can guess: `kind-...`."""
    return f"{kind}-{secrets.token_hex(12)}"
