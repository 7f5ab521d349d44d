"""Errors written for the person who has to act on them.

Every category also inherits the matching standard exception, so `except ValueError` still works,
and every instance survives pickling (it may cross a process border).
"""


class FairleadError(Exception):
    """Base of all errors that Fairlead raises on purpose.

    Args:
        what: one sentence: what went wrong.
        where: file, row, key, stage or step.
        expected: what would have been accepted.
        got: what was found instead.
        remedy: what the reader can do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        got: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.expected = expected
        self.got = got
        self.remedy = remedy

    def __str__(self) -> str:
        parts = (
            ("where", self.where),
            ("expected", self.expected),
            ("got", self.got),
            ("remedy", self.remedy),
        )
        return "\n".join([self.what, *(f"  {name}: {text}" for name, text in parts if text)])

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.expected, self.got, self.remedy))


class ConfigError(FairleadError, ValueError):
    """A setting, recipe or combination of settings that cannot work."""


class DataError(FairleadError, ValueError):
    """Input records that cannot be used."""


class CheckpointError(FairleadError, RuntimeError):
    """A checkpoint that cannot be written, read or continued from."""


class TrainingError(FairleadError, RuntimeError):
    """A run that stopped itself: a failed self-check, a NaN, an exploding KL, a dead worker."""


class ServiceError(FairleadError, RuntimeError):
    """Something outside this process did not answer as it should."""


def _rebuild(
    kind: type[FairleadError], what: str, where: str, expected: str, got: str, remedy: str
) -> FairleadError:
    return kind(what, where=where, expected=expected, got=got, remedy=remedy)
