"""Errors of the feedback service, one per answer that a caller must tell apart."""

from typing import Any

from fairlead.core.errors import DataError, FairleadError


class Refused(FairleadError, PermissionError):
    """The actor may not do this."""


class Missing(FairleadError, LookupError):
    """There is no such thing, or the actor may not know of it."""


class LoginFailed(FairleadError, PermissionError):
    """Nobody is logged in: a wrong password, an expired session, a revoked token."""


class Conflict(FairleadError, RuntimeError):
    """The thing is no longer in the state that the request assumes."""


class AnswerConflict(Conflict):
    """Another answer is stored under this key and can no longer be revised; both are shown."""

    stored: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None

    @classmethod
    def between(
        cls, stored: dict[str, Any] | None, sent: dict[str, Any], remedy: str
    ) -> "AnswerConflict":
        """An error that carries both answers."""
        error = cls(
            "another answer to this task is already stored",
            got="an answer with other content under the same key",
            remedy=remedy,
        )
        error.stored, error.sent = stored, sent
        return error


class InvalidAnswer(DataError):
    """An answer that does not fit its task; `problems` names each field and what is wrong."""

    problems: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, *problems: tuple[str, str]) -> "InvalidAnswer":
        """An error from pairs (field, sentence for the person who answered)."""
        error = cls(
            "the answer is not complete",
            got="; ".join(sentence for _, sentence in problems),
            remedy="correct the answer and send it again; nothing of it is lost",
        )
        error.problems = problems
        return error
