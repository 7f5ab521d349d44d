"""What all gates of a run say together, about which models, and the sentences that say why."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.core.estimates import Estimate
from fairlead.core.gates import Decision, Gate, Verdict, decide
from fairlead.core.results import Finding
from fairlead.lineage.ancestry import digest_of, recorded_path
from fairlead.report.collect import RunView, StageView
from fairlead.report.numbers import number

ORDER: tuple[Verdict, ...] = ("fail", "inconclusive", "pass")
"""From what stops a release to what does not."""


@dataclass(frozen=True)
class Party:
    """One of the two models."""

    name: str
    """As the recipe names it."""
    digest: str
    """Hash of its folder, or of the outputs of the stage that made it; empty where it is not known,
    as behind a server."""
    path: Path | None = None
    """Its folder, where it came from outside the run."""


@dataclass(frozen=True)
class Audited:
    """One stage that audited a candidate."""

    stage: str
    candidate: Party
    baseline: Party
    judge: str
    """Who read replies; empty where nobody did."""
    judge_status: tuple[str, ...]
    """What the findings say about the judge, in sentences."""
    findings: tuple[Finding, ...]
    kinds: tuple[str, ...]
    """Kind of the audit behind each finding."""
    caveats: tuple[str, ...] = ()
    """What makes the two models hard to compare, in sentences."""

    @property
    def gates(self) -> tuple[Gate, ...]:
        """All gates of its findings."""
        return tuple(gate for finding in self.findings for gate in finding.gates)

    @property
    def decision(self) -> Decision:
        """What its own gates say."""
        return decide(self.gates)


@dataclass(frozen=True)
class GateRow:
    """A gate and where it is from."""

    stage: str
    audit: str
    gate: Gate


@dataclass(frozen=True)
class Ruling:
    """What all audits of a run say together."""

    audited: tuple[Audited, ...]

    @property
    def rows(self) -> list[GateRow]:
        """Every gate, what stops a release first."""
        rows = [
            GateRow(one.stage, finding.audit, gate)
            for one in self.audited
            for finding in one.findings
            for gate in finding.gates
        ]
        return sorted(rows, key=lambda row: (not row.gate.hard, ORDER.index(row.gate.verdict)))

    @property
    def hard(self) -> list[GateRow]:
        """Gates that decide."""
        return [row for row in self.rows if row.gate.hard]

    @property
    def soft(self) -> list[GateRow]:
        """Gates that inform."""
        return [row for row in self.rows if not row.gate.hard]

    @property
    def decision(self) -> Decision:
        """What all hard gates say."""
        return decide(row.gate for row in self.rows)

    @property
    def counts(self) -> dict[Verdict, int]:
        """Hard gates by verdict."""
        found = Counter(row.gate.verdict for row in self.hard)
        return {verdict: found[verdict] for verdict in ORDER}

    @property
    def unscored(self) -> dict[str, int]:
        """Answers without a score, by what became of them; each counts in all of its gates."""
        total: Counter[str] = Counter()
        for row in self.rows:
            total.update(row.gate.unscored)
        return dict(total)


def ruling_of(view: RunView) -> Ruling | None:
    """The ruling on a run; None where nothing was audited."""
    audited = tuple(_audited(stage) for stage in view.stages if stage.result.findings)
    return Ruling(audited) if audited else None


def reason(gate: Gate) -> str:
    """Why a gate says what it says: number, interval, margin, and what would decide."""
    return f"{headline(gate)}: {because(gate)}"


def headline(gate: Gate) -> str:
    """A gate and what it does, as `sycophancy/gives in fails`."""
    verb = {"pass": "passes", "fail": "fails", "inconclusive": "is inconclusive"}[gate.verdict]
    return f"{gate.name} {verb}"


def because(gate: Gate) -> str:
    """The numbers behind a gate's verdict, as a sentence that goes on after a colon."""
    change = gate.change
    if math.isnan(change.low) or math.isnan(change.high):
        return f"there is no interval ({change.method})."
    verb = "is" if gate.baseline is None else "changed by"
    said = (
        f"{gate.harm} {verb} {interval(change, gate.margin)} ({round(100 * change.level)} % "
        f"interval), margin {number(gate.margin)}"
    )
    if gate.adjusted_p is not None:
        said += f", adjusted p {_p(gate.adjusted_p)}"
    return f"{said}. {_more(gate)}".strip()


def interval(estimate: Estimate, margin: float) -> str:
    """A change and its interval, with decimals that suit the margin."""
    value, low, high = changes(estimate, margin)
    return f"{value} [{low}, {high}]"


def changes(estimate: Estimate, margin: float) -> tuple[str, str, str]:
    """A change and the ends of its interval: signed, with decimals that suit the margin."""
    digits = max(3, 1 + math.ceil(-math.log10(margin))) if margin > 0 else 3
    three = (estimate.value, estimate.low, estimate.high)
    value, low, high = (_signed(x, digits) for x in three)
    return value, low, high


def _signed(x: float, digits: int) -> str:
    if not math.isfinite(x):
        return "n/a"
    rounded = round(x, digits)
    return f"{rounded:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if rounded else f"{0:.{digits}f}"


def misled(gate: Gate) -> str:
    """A sentence where leaving out unscored answers would have flattered the candidate, else "".

    That is: over the scored items alone the harm falls or the gate passes, and with the others
    counted as harm it does not.
    """
    observed = gate.observed
    if observed is None or math.isnan(observed.low):
        return ""
    improves = observed.value < 0 <= gate.change.value
    passes = observed.high < gate.margin and gate.verdict != "pass"
    if not (improves or passes):
        return ""
    looks = "improve" if improves else "pass"
    return (
        f"{gate.name} would {looks} only because answers have no score: over the scored items "
        f"{interval(observed, gate.margin)}, with the others counted as harm "
        f"{interval(gate.change, gate.margin)}."
    )


def unscored_words(unscored: dict[str, int]) -> str:
    """Counts of unscored answers in words: `12 judge refused, 3 truncated`."""
    return ", ".join(f"{n:,} {state.replace('_', ' ')}" for state, n in unscored.items() if n)


def _p(p: float) -> str:
    return "below 0.001" if p < 0.001 else number(p)


def _more(gate: Gate) -> str:
    if gate.verdict != "inconclusive":
        return ""
    if gate.needed is None:
        return "More items of this kind would hardly decide it."
    return f"About {gate.needed:,} independent items would decide it; there were {gate.change.n:,}."


def _audited(stage: StageView) -> Audited:
    settings, findings = stage.settings, stage.result.findings
    judge = _name(settings.get("judge"))
    return Audited(
        stage=stage.record.name,
        candidate=_party(settings.get("candidate"), stage),
        baseline=_party(settings.get("baseline"), stage),
        judge=judge,
        judge_status=_judge_status(judge, findings),
        findings=findings,
        kinds=tuple(_kind(finding.audit, settings.get("audits")) for finding in findings),
        caveats=stage.result.notes[1:],  # the first says who won
    )


def _party(asked: Any, stage: StageView) -> Party:
    name = _name(asked)
    inputs = stage.manifest.inputs if stage.manifest else None
    if inputs is None or not name:
        return Party(name or "not recorded", "")
    path = recorded_path(name, inputs)
    return Party(name, digest_of(name, inputs), Path(path) if path else None)


def _name(asked: Any) -> str:
    """What a recipe calls a model that may be a name or the settings of a respondent."""
    if not isinstance(asked, dict):
        return str(asked or "")
    served = asked.get("server")
    inner = served if isinstance(served, dict) else asked
    return str(inner.get("model") or asked.get("kind") or "")


def _judge_status(judge: str, findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """What a reader must know of the judge: the first sentence of every finding, then the others.

    Rules that tell replies apart are judges too, though no recipe names them.
    """
    said = [finding.judge for finding in findings if finding.judge]
    if judge and not said:
        return ("Nothing in the findings says how far it agrees with people.",)
    return tuple(dict.fromkeys([*(one[0] for one in said), *(s for one in said for s in one)]))


def _kind(audit: str, audits: Any) -> str:
    """The kind behind a finding's title, which a recipe may have chosen."""
    for settings in audits if isinstance(audits, list | tuple) else ():
        if audit in (settings.get("name"), settings.get("kind")):
            return str(settings.get("kind"))
    return audit
