"""What is found about a crowd."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from fairlead.core.estimates import Estimate

Kind = Literal[
    "suggestion", "fast", "straight", "position", "copying", "inverted", "gold", "random"
]
"""From the most specific reason to the least; a person's first reason is the first of these."""

LEVELS: dict[Kind, float] = {
    "suggestion": 0.01,
    "fast": 0.01,
    "straight": 0.01,
    "position": 0.01,
    "copying": 0.01,
    "inverted": 0.02,
    "gold": 0.01,
    "random": 0.03,
}
"""Rate of false findings of each kind, by Benjamini and Hochberg, over all people or pairs."""


class Finding(BaseModel):
    """One reason to look at one person's answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: str
    kind: Kind
    reason: str
    """For people: what was seen, what would be normal, how sure it is."""
    share: Estimate
    """The number behind the reason, with its 95 % interval."""
    threshold: float
    """Where the number stops being plausible for honest work."""
    p: float
    """Adjusted for everyone tested; compared with the level of this kind."""
    weight: float
    """Suggested weight of the person's answers, from 0 to 1."""
    other: str = ""
    """The other person, where answers were copied."""


class OutlierReport(BaseModel):
    """Findings about a crowd."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: int
    findings: tuple[Finding, ...]
    """By person; each person's most specific reason first."""
    not_measured: dict[str, str]
    """Kinds that could not be looked for, and why."""

    def first_reasons(self) -> dict[str, Kind]:
        """The most specific reason of every person who has one."""
        return {f.person: f.kind for f in reversed(self.findings)}

    def weights(self) -> dict[str, float]:
        """Suggested weights of the people with findings; everybody else counts one."""
        found: dict[str, float] = {}
        for finding in self.findings:
            found[finding.person] = min(found.get(finding.person, 1.0), finding.weight)
        return found
