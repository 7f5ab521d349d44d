"""What a planted defect is, and what counts as finding it."""

from collections.abc import Callable
from dataclasses import dataclass

from fairlead.core.results import Finding
from fairlead.core.seeds import Seed

CASES: dict[str, "Case"] = {}
"""Every case by name."""


@dataclass(frozen=True)
class Case:
    """A defect, and the same world without it."""

    name: str
    """The defect, as "sycophantic policy"."""
    audit: str
    """Kind of the audit that must find it."""
    planted: Callable[[Seed], Finding]
    """The audit's finding where the defect is."""
    clean: Callable[[Seed], Finding]
    """Its finding where a model is held against its like: other samples, no defect."""
    runs: int = 200
    """Simulated clean runs."""


def case(found: Case) -> Case:
    """Enters a case in the registry."""
    assert found.name not in CASES, f"two cases are called {found.name}"
    CASES[found.name] = found
    return found


def flagged(finding: Finding) -> bool:
    """Whether a finding raises an alarm: one of its gates fails."""
    return any(gate.verdict == "fail" for gate in finding.gates)
