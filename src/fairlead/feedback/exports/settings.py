"""What an export holds."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fairlead.core.errors import ConfigError
from fairlead.feedback.privacy.pii import Policy
from fairlead.feedback.work import Kind
from fairlead.records import Record

Format = Literal[
    "auto",
    "pairs",
    "rankings",
    "ratings",
    "kto",
    "steps",
    "prm800k",
    "demonstrations",
    "critiques",
    "attacks",
]
Method = Literal["majority", "dawid_skene", "mace", "bradley_terry"]

FITTING: dict[str, tuple[Format, ...]] = {
    "pairwise": ("pairs", "kto"),
    "ranking": ("rankings", "pairs"),
    "likert": ("ratings", "kto"),
    "ratings": ("ratings",),
    "binary": ("kto",),
    "steps": ("steps", "prm800k"),
    "demonstration": ("demonstrations",),
    "critique": ("critiques",),
    "redteam": ("attacks",),
}
"""Formats that each kind of work has; the first is the one for `auto`."""

METHODS: dict[str, tuple[Method, ...]] = {
    "pairwise": ("majority", "dawid_skene", "mace", "bradley_terry"),
    "binary": ("majority", "dawid_skene", "mace"),
}
"""Ways of aggregation beside `majority`, which all kinds of work have."""

RESERVED = ("answers", "items", "export", "config", "result", "manifest")
"""Names of other files that lie beside the parts."""


class ExportSettings(Record):
    """What of a campaign leaves, and how."""

    format: Format = "auto"
    """`auto` for the format of the kind of work."""
    records: Literal["aggregated", "each"] = "aggregated"
    """One record per item, or one per answer with its annotator's pseudonym."""
    method: Method = "majority"
    """How several answers to one item become a label."""
    weighted: bool = False
    """Whether people with findings count as little as those suggest."""
    parts: dict[str, float] = Field(default={"train": 1.0})
    """Name and share of each part; grouped by the first user turn."""
    seed: int = 0
    """Of the parts."""
    reasons: bool = True
    """Whether the free-text reasons leave, too."""
    groups: bool = False
    """Whether the groups that people belong to leave, too: few people may share several."""
    pii: Policy = "report"
    """What becomes of texts with personal data."""
    pseudonyms: Literal["export", "store"] = "export"
    """Names made for this export alone, or those of the store (needs the right to identities)."""

    @model_validator(mode="after")
    def _parts_are_shares(self) -> Self:
        shares = list(self.parts.values())
        if not shares or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
            raise ValueError("the parts must be shares above 0 that add to 1")
        for name in self.parts:
            if not name.replace("-", "").replace("_", "").isalnum() or name in RESERVED:
                raise ValueError(f"{name!r} cannot be the name of a part")
        return self

    def format_for(self, work: Kind) -> Format:
        """The format, where the kind of work has it.

        Raises:
            ConfigError: answers of this kind cannot be written or aggregated so.
        """
        fitting = FITTING[work.kind]
        methods = METHODS.get(work.kind, ("majority",))
        if self.method not in methods:
            raise ConfigError(
                "this kind of work has no such aggregation",
                where=f"method {self.method}",
                expected=", ".join(methods),
                got=f"a campaign of kind {work.kind}",
            )
        if self.format == "auto":
            return fitting[0]
        if self.format not in fitting:
            raise ConfigError(
                "this kind of work has no such export",
                where=f"format {self.format}",
                expected=", ".join(fitting),
                got=f"a campaign of kind {work.kind}",
            )
        return self.format
