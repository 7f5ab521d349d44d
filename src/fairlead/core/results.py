"""What a stage found: estimates, tables, figures, sample replies and notes, as result.json."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.files import read_json, write_json
from fairlead.core.gates import Gate


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite_or_none)]
"""A finite number; None where there is none (nan and infinities become None)."""

Cell = Annotated[str | bool | int | float | None, BeforeValidator(_finite_or_none)]
"""A table cell."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Table(_Frozen):
    """A table of a report; numbers stay numbers, so that a report can align them."""

    title: str
    """What the table shows."""
    columns: tuple[str, ...]
    """Column heads, with units."""
    rows: tuple[tuple[Cell, ...], ...]
    """Cells, one per column."""

    @model_validator(mode="after")
    def _rectangular(self) -> "Table":
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {number} has {len(row)} cells for {len(self.columns)} columns"
                )
        return self


class Series(_Frozen):
    """One line or cloud of points, with an optional interval at each point."""

    label: str
    """Name in the legend."""
    x: tuple[float, ...]
    """Positions."""
    y: tuple[Number, ...]
    """Values; None leaves a gap."""
    low: tuple[Number, ...] | None = None
    """Lower bounds of the intervals; None where the series has none."""
    high: tuple[Number, ...] | None = None
    """Upper bounds of the intervals; None where the series has none."""
    style: Literal["line", "points"] = "line"
    """Joined by a line, or single points."""

    @classmethod
    def of(
        cls,
        label: str,
        x: Iterable[float],
        estimates: Sequence[Estimate],
        style: Literal["line", "points"] = "line",
    ) -> "Series":
        """Estimates with their intervals at given positions."""
        values, lows, highs = (
            tuple(getattr(estimate, key) for estimate in estimates)
            for key in ("value", "low", "high")
        )
        return cls(label=label, x=tuple(x), y=values, low=lows, high=highs, style=style)

    @model_validator(mode="after")
    def _same_length(self) -> "Series":
        if (self.low is None) != (self.high is None):
            raise ValueError(
                f"series {self.label!r}: low and high are given together or not at all"
            )
        for name, values in (("y", self.y), ("low", self.low), ("high", self.high)):
            if values is not None and len(values) != len(self.x):
                raise ValueError(f"series {self.label!r}: {len(values)} {name} for {len(self.x)} x")
        return self


class Figure(_Frozen):
    """A figure as data; a report draws it."""

    title: str
    """What the figure shows."""
    x_label: str
    """Name and unit of the horizontal axis."""
    y_label: str
    """Name and unit of the vertical axis."""
    series: tuple[Series, ...]
    """What is drawn."""
    caption: str = ""
    """How to read it."""


class Scores(_Frozen):
    """What a reply was worth, by the known truth and by the reward model."""

    gold: Number = None
    """Score under the testbed's true preference; None where no truth is known."""
    proxy: Number = None
    """Score of the learned reward model; None where none was used."""


class Reply(_Frozen):
    """One policy's answer to a sample prompt."""

    policy: str
    """Name of the policy."""
    text: str
    """Its answer."""
    scores: Scores = Scores()
    """What the answer was worth."""


class Sample(_Frozen):
    """The answers of several policies to one prompt, to be read side by side."""

    prompt: str
    """What was asked."""
    replies: tuple[Reply, ...]
    """One answer per policy."""


class Passage(_Frozen):
    """One item in full, so that a reader can judge for himself what a number counts."""

    about: str
    """The gate or the measure that it is an example of."""
    prompt: str
    """What was asked."""
    baseline: str = ""
    """What the baseline said; empty where it has no part."""
    candidate: str = ""
    """What the candidate said."""
    note: str = ""
    """What is wrong, in words."""


class Finding(_Frozen):
    """What one audit found."""

    audit: str
    """Name of the audit in its recipe."""
    question: str
    """What it asks, as a sentence that ends in a question mark."""
    gates: tuple[Gate, ...] = ()
    """What takes part in the decision, and what would if it were hard."""
    estimates: tuple[NamedEstimate, ...] = ()
    """Numbers beside the gates."""
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    passages: tuple[Passage, ...] = ()
    """The worst items, worst first."""
    judge: tuple[str, ...] = ()
    """Sentences about who judged replies: first how far that is validated by people. Rules that
    tell replies apart are judges too; empty where nobody judged."""
    notes: tuple[str, ...] = ()
    """Sentences a reader must know."""
    source: str = ""
    """Where the protocol is from."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Its notes and what is said of the judge."""
        return (*self.judge, *self.notes)


class StageResult(_Frozen):
    """Everything that a stage has to show."""

    estimates: tuple[NamedEstimate, ...] = ()
    """Numbers with their intervals."""
    notes: tuple[str, ...] = ()
    """Sentences a reader must know: what was left out, what failed, what to be careful with."""
    tables: tuple[Table, ...] = ()
    """Tables."""
    figures: tuple[Figure, ...] = ()
    """Figures."""
    samples: tuple[Sample, ...] = ()
    """Sample answers."""
    findings: tuple[Finding, ...] = ()
    """What audits found; their gates decide."""


def write_result(folder: Path, result: StageResult) -> None:
    """Writes a stage's result.json; an estimate's nan or infinity is stored as null."""
    write_json(folder / "result.json", result.model_dump(mode="json"))


def read_result(folder: Path) -> StageResult:
    """Reads a stage's result.json; an estimate's null becomes nan.

    Raises:
        DataError: the file is missing or does not hold a stage result.
    """
    path = folder / "result.json"
    try:
        return StageResult.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError(
            "not a stage result", where=str(path), got=str(error), remedy="run the stage again"
        ) from error
