"""Errors that end a run because no further question would be answered."""

from fairlead.core.errors import ServiceError
from fairlead.judges.server.failures import Failure
from fairlead.judges.server.settings import ServerSettings

FIELDS = "leave out what the server does not know with `omit`, or add what it wants with `extra`"
REMEDIES = {
    401: "set a valid key in the variable that `key_env` names",
    402: "pay the account's bill, or use another account",
    403: "set a key that may use this model",
    404: "correct `model`, or `base_url`, which ends in the version as in /v1",
    429: "raise the account's quota, or use another account",
}
KEPT = "; what was answered is kept, and the next run goes on behind it"


def refused(failure: Failure, settings: ServerSettings) -> ServiceError:
    """The server refuses, and not because of one question."""
    return ServiceError(
        "the judge's server refuses to answer",
        where=_where(settings),
        expected="HTTP 200",
        got=failure.detail,
        remedy=REMEDIES.get(failure.status or 0, FIELDS) + KEPT,
    )


def stays_away(failure: Failure, settings: ServerSettings) -> ServiceError:
    """The server answers nobody for longer than the settings bear."""
    asked = f", asked to wait {failure.wait_s:g} s" if failure.wait_s else ""
    return ServiceError(
        "the judge's server does not come back",
        where=_where(settings),
        expected=f"an answer within {settings.patience_s:g} s",
        got=failure.detail + asked,
        remedy="start the server, or raise `patience_s`" + KEPT,
    )


def blind_server(settings: ServerSettings) -> ServiceError:
    """Options were given and no log-probabilities came back."""
    return ServiceError(
        "the judge's server gives no log-probabilities",
        where=_where(settings),
        expected="`logprobs` in the answer",
        got="an answer without",
        remedy="use a server that gives them, or set `without_logprobs: sample` to read texts",
    )


def _where(settings: ServerSettings) -> str:
    return f"{settings.model} at {settings.base_url}"
