"""From checks to a verdict: which part of a run is at fault."""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fairlead.core.results import Number
from fairlead.report.collect import read_view
from fairlead.report.diagnose.checks import Area, Check
from fairlead.report.diagnose.evidence import Evidence, Measured, Part, RunEvidence, collect
from fairlead.report.diagnose.policies import PREFERENCE_CHECKS, ROLLOUT_CHECKS, START_CHECKS
from fairlead.report.diagnose.supervised import DATA_CHECKS, REWARD_CHECKS, SFT_CHECKS

CHECKS: tuple[Check, ...] = (
    *DATA_CHECKS,
    *SFT_CHECKS,
    *REWARD_CHECKS,
    *START_CHECKS,
    *ROLLOUT_CHECKS,
    *PREFERENCE_CHECKS,
)
"""All checks; a stage is asked those of its part."""


class Verdict(StrEnum):
    """What a check says."""

    OK = "ok"
    ODD = "odd"
    """Out of the normal range, but not by so much that it must be a fault."""
    BAD = "bad"
    NOT_MEASURED = "not measured"


class Fault(StrEnum):
    """What a run suffers from."""

    DATA = "data"
    SFT = "sft"
    REWARD_MODEL = "reward_model"
    RL = "rl"
    NONE = "none found"
    UNKNOWN = "not enough to tell"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Finding(_Frozen):
    """One check of one stage."""

    stage: str
    area: Area
    """What is at fault where it is bad."""
    what: str
    value: Number
    """What the verdict was made on; None where it was not measured."""
    shown: str
    """The value for people, with its interval where it has one."""
    normal: tuple[Number, Number]
    """Normal range; None for no bound."""
    verdict: Verdict
    remedy: str
    reason: str
    decisive: bool
    """One of the checks without which the stage is not cleared."""


class Diagnosis(_Frozen):
    """What was found in a run."""

    run: str
    fault: Fault
    """The first part, in the order in which one spoils the next, with a bad finding."""
    findings: tuple[Finding, ...]


def diagnose(run_dir: Path) -> Diagnosis:
    """Looks through a run's own files for the part that is at fault.

    Data come before SFT, SFT before the reward model and the reward model before RL: a fault
    upstream explains those downstream. Where nothing is bad but a trained stage lacks its decisive
    measurements, or nothing was trained, there is not enough to tell.

    Raises:
        DataError: the folder holds no readable run.
    """
    run = collect(read_view(run_dir), run_dir)
    findings = tuple(
        finding
        for stage in run.stages
        for check in CHECKS
        if (finding := _finding(check, stage)) is not None
    )
    return Diagnosis(run=run.name, fault=_fault(run, findings), findings=findings)


def _finding(check: Check, stage: Evidence) -> Finding | None:
    """What a check says of a stage; None where it does not apply."""
    if check.part != stage.part or (check.where and not stage.logs(check.where)):
        return None
    measured = check.read(stage)
    if measured is None and check.optional:
        return None
    return Finding(
        stage=stage.stage,
        area=check.area,
        what=check.what,
        value=None if measured is None else measured.value,
        shown="" if measured is None else measured.shown or f"{measured.value:.3g}",
        normal=check.normal,
        verdict=_verdict(check, measured),
        remedy=check.remedy,
        reason=check.reason,
        decisive=check.decisive,
    )


def _verdict(check: Check, measured: Measured | None) -> Verdict:
    if measured is None:
        return Verdict.NOT_MEASURED
    if check.normal[0] <= measured.value <= check.normal[1]:
        return Verdict.OK
    few = measured.n is not None and measured.n < check.fewest
    if few or check.odd[0] <= measured.value <= check.odd[1]:
        return Verdict.ODD
    return Verdict.BAD


def _fault(run: RunEvidence, findings: tuple[Finding, ...]) -> Fault:
    bad = {finding.area for finding in findings if finding.verdict is Verdict.BAD}
    for area in Area:
        if area in bad:
            return Fault(area.value)
    trained = {stage.stage for stage in run.stages if stage.part is not Part.OTHER}
    told = {f.stage for f in findings if f.decisive and f.verdict is not Verdict.NOT_MEASURED}
    return Fault.NONE if trained and trained <= told else Fault.UNKNOWN
