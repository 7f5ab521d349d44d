"""All kinds of work, by name.

A new one is a class in a module of this package and a line in the list.
"""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

from pydantic import Field, TypeAdapter, ValidationError

from fairlead.core.errors import DataError
from fairlead.feedback.work.base import Work, sentences
from fairlead.feedback.work.comparing import Pairwise, RankingWork
from fairlead.feedback.work.scoring import Binary, Likert, Ratings
from fairlead.feedback.work.stepwise import Steps
from fairlead.feedback.work.writing import CritiqueWork, DemonstrationWork, RedTeam

Kind = Annotated[
    Pairwise
    | RankingWork
    | Likert
    | Ratings
    | Binary
    | Steps
    | DemonstrationWork
    | CritiqueWork
    | RedTeam,
    Field(discriminator="kind"),
]
"""Any kind of work; `{"kind": "pairwise", ...}`."""

KINDS: dict[str, type[Work]] = {
    kind.model_fields["kind"].default: kind for kind in get_args(get_args(Kind)[0])
}

_KIND: TypeAdapter[Any] = TypeAdapter(Kind)


def work_of(settings: Mapping[str, Any]) -> Work:
    """The kind of work that settings describe.

    Raises:
        DataError: unknown kind or setting.
    """
    try:
        return _KIND.validate_python(dict(settings))
    except ValidationError as error:
        raise DataError(
            "not a kind of work",
            expected="kind: one of " + ", ".join(KINDS),
            got="; ".join(sentence for _, sentence in sentences(error)),
        ) from error
