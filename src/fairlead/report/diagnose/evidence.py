"""What a stage's files say, and ways to read a number from them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from statistics import fmean, median
from typing import Any

from fairlead.core.estimates import NamedEstimate
from fairlead.core.files import read_json
from fairlead.report.collect import RunView, StageView

FEWEST_STEPS = 8
"""Logged steps below which nothing is said about a trend."""


class Part(StrEnum):
    """The part of alignment that a stage does."""

    SFT = "sft"
    REWARD_MODEL = "reward_model"
    POLICY = "policy"
    """Optimises the policy, on rollouts or on comparisons."""
    OTHER = "other"


@dataclass(frozen=True)
class Measured:
    """A number that was found, and how sure it is."""

    value: float
    shown: str = ""
    """How to print it, where the bare value says too little."""
    n: int | None = None
    """Independent units behind it; None where it is no estimate."""


@dataclass(frozen=True)
class Evidence:
    """One stage of a run with what it logged."""

    stage: str
    part: Part
    failed: bool
    settings: dict[str, Any]
    """The stage's own settings, from config.json."""
    curves: dict[str, list[float]]
    """Finite values of each metric in the order of their steps."""
    estimates: dict[str, NamedEstimate]
    run: "RunEvidence" = field(repr=False)

    def logs(self, prefix: str) -> bool:
        """Whether any metric begins so."""
        return any(name.startswith(prefix) for name in self.curves)

    def upstream(self, setting: str) -> "Evidence | None":
        """The earlier stage that a setting, or its `path`, names; None where it names none."""
        named = self.settings.get(setting)
        named = named.get("path") if isinstance(named, dict) else named
        if not isinstance(named, str) or not named.startswith("@"):
            return None
        return self.run.stage(named[1:].split("/")[0])


@dataclass(frozen=True)
class RunEvidence:
    """All stages of a run."""

    name: str
    stages: list[Evidence] = field(default_factory=list[Evidence])

    def stage(self, name: str) -> Evidence | None:
        """A stage by name."""
        return next((one for one in self.stages if one.stage == name), None)

    def estimate(self, name: str) -> NamedEstimate | None:
        """An estimate by name, whichever stage found it."""
        found = (one.estimates[name] for one in self.stages if name in one.estimates)
        return next(found, None)


def collect(view: RunView, run_dir: Path) -> RunEvidence:
    """What the run's folder says, stage by stage."""
    run = RunEvidence(view.run.name)
    for stage in view.stages:
        run.stages.append(_evidence(stage, run, run_dir / stage.record.folder))
    return run


def _evidence(stage: StageView, run: RunEvidence, folder: Path) -> Evidence:
    config = folder / "config.json"
    settings = read_json(config) if config.exists() else {}
    curves = {c.name: [v for v in c.values if math.isfinite(v)] for c in stage.curves}
    return Evidence(
        stage=stage.record.name,
        part=_part(stage.record.kind, settings.get("stage", {})),
        failed=stage.record.status == "failed",
        settings=settings.get("stage", {}),
        curves={name: values for name, values in curves.items() if values},
        estimates={e.name: e for e in stage.result.estimates if math.isfinite(e.value)},
        run=run,
    )


def _part(kind: str, settings: dict[str, Any]) -> Part:
    if kind == "sft":
        return Part.SFT
    if kind == "reward":
        return Part.REWARD_MODEL
    return (
        Part.POLICY if "train" in settings and isinstance(settings["train"], dict) else Part.OTHER
    )


class Reading(ABC):
    """A way to read one number from a stage's evidence."""

    @abstractmethod
    def __call__(self, evidence: Evidence) -> Measured | None:
        """The number; None where it was not measured."""


def _tenth(values: Sequence[float]) -> int:
    return max(1, len(values) // 10)


@dataclass(frozen=True)
class First(Reading):
    """The first logged value of a metric."""

    metric: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The first value."""
        values = evidence.curves.get(self.metric)
        return Measured(values[0]) if values else None


@dataclass(frozen=True)
class Last(Reading):
    """Mean of a metric over the last tenth of the logged steps."""

    metric: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The mean."""
        values = evidence.curves.get(self.metric)
        return Measured(fmean(values[-_tenth(values) :])) if values else None


@dataclass(frozen=True)
class Highest(Reading):
    """The largest value of a metric."""

    metric: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The largest value."""
        values = evidence.curves.get(self.metric)
        return Measured(max(values)) if values else None


@dataclass(frozen=True)
class Typical(Reading):
    """The median of a metric over all logged steps."""

    metric: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The median."""
        values = evidence.curves.get(self.metric)
        return Measured(median(values)) if values else None


@dataclass(frozen=True)
class Growth(Reading):
    """Last tenth of a positive metric over its first tenth: 1 where nothing changed."""

    metric: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The ratio of the two means."""
        ends = _ends(evidence.curves.get(self.metric, []))
        if ends is None or ends[0] <= 0:
            return None
        first, last = ends
        return Measured(last / first, f"{last / first:.3g} ({first:.3g} to {last:.3g})")


@dataclass(frozen=True)
class Change(Reading):
    """Last tenth of a metric less its first tenth."""

    metric: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The difference of the two means."""
        ends = _ends(evidence.curves.get(self.metric, []))
        if ends is None:
            return None
        first, last = ends
        return Measured(last - first, f"{last - first:+.3g} ({first:.3g} to {last:.3g})")


@dataclass(frozen=True)
class Gain(Reading):
    """Change of a metric in standard deviations of single replies, at the start."""

    metric: str
    squared: str
    """The metric's mean square."""

    def __call__(self, evidence: Evidence) -> Measured | None:
        """Last tenth less first tenth, over the spread of the first batch."""
        ends = _ends(evidence.curves.get(self.metric, []))
        squares = evidence.curves.get(self.squared)
        if ends is None or not squares:
            return None
        variance = squares[0] - evidence.curves[self.metric][0] ** 2
        if variance <= 0:
            return None
        gain = (ends[1] - ends[0]) / math.sqrt(variance)
        return Measured(gain, f"{gain:+.3g} ({ends[0]:.3g} to {ends[1]:.3g})")


def _ends(values: Sequence[float]) -> tuple[float, float] | None:
    """Means of the first and the last tenth; None where there are too few for a trend."""
    if len(values) < FEWEST_STEPS:
        return None
    tenth = _tenth(values)
    return fmean(values[:tenth]), fmean(values[-tenth:])


@dataclass(frozen=True)
class LowerBound(Reading):
    """Lower end of an estimate's 95 % interval; `{stage}` in the name is the stage's own."""

    estimate: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The lower end, shown with the value."""
        found = _estimate(evidence, self.estimate)
        return None if found is None else Measured(found.low, str(found), found.n)


@dataclass(frozen=True)
class UpperBound(Reading):
    """Upper end of an estimate's 95 % interval; `{stage}` in the name is the stage's own."""

    estimate: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The upper end, shown with the value."""
        found = _estimate(evidence, self.estimate)
        return None if found is None else Measured(found.high, str(found), found.n)


def _estimate(evidence: Evidence, name: str) -> NamedEstimate | None:
    return evidence.estimates.get(name.format(stage=evidence.stage))


@dataclass(frozen=True)
class ShareOfCeiling(Reading):
    """How much of what noisy labels allow a reward model reaches: 0 is a coin, 1 the ceiling."""

    accuracy: str
    ceiling: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """(accuracy - 1/2) / (ceiling - 1/2), with the upper end of the accuracy's interval."""
        found, ceiling = evidence.estimates.get(self.accuracy), evidence.run.estimate(self.ceiling)
        if found is None or ceiling is None or ceiling.value <= 0.5:
            return None
        share = (found.high - 0.5) / (ceiling.value - 0.5)
        return Measured(share, f"{found.value:.3f} of {ceiling.value:.3f}", found.n)


@dataclass(frozen=True)
class Overfit(Reading):
    """A metric on training data (last tenth) less an estimate on held-out data."""

    metric: str
    estimate: str
    sign: float = 1.0
    """-1 where smaller is better."""

    def __call__(self, evidence: Evidence) -> Measured | None:
        """How much better training data are done than held-out data."""
        trained = Last(self.metric)(evidence)
        found = _estimate(evidence, self.estimate)
        if trained is None or found is None:
            return None
        gap = self.sign * (trained.value - found.value)
        return Measured(gap, f"{gap:+.3g} ({trained.value:.3g} and {found.value:.3g})", found.n)


@dataclass(frozen=True)
class FirstScore(Reading):
    """Score of the first samples in margins of the reward model, 0 at the data's chosen replies."""

    def __call__(self, evidence: Evidence) -> Measured | None:
        """First score over the mean margin between chosen and rejected replies."""
        score = First("reward/score")(evidence)
        model = evidence.upstream("reward")
        margin = None if model is None else Last("reward/margin")(model)
        if score is None or margin is None or margin.value <= 0:
            return None
        return Measured(score.value / margin.value)


@dataclass(frozen=True)
class ExplainedVariance(Reading):
    """Share of the returns' variance that the critic foresaw, over the last tenth."""

    def __call__(self, evidence: Evidence) -> Measured | None:
        """1 - mean squared error / variance of the returns."""
        names = ("value/error_before", "value/return_squared", "value/return")
        found = [Last(name)(evidence) for name in names]
        error, squared, mean = (None if f is None else f.value for f in found)
        if error is None or squared is None or mean is None or squared <= mean**2:
            return None
        return Measured(1 - error / (squared - mean**2))


@dataclass(frozen=True)
class Value(Reading):
    """An estimate's value."""

    estimate: str

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The value."""
        found = _estimate(evidence, self.estimate)
        return None if found is None else Measured(found.value, str(found), found.n)


@dataclass(frozen=True)
class OverBaseline(Reading):
    """Upper end of an estimate less the best of its baselines."""

    estimate: str
    baselines: tuple[str, ...]

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The difference."""
        found = evidence.estimates.get(self.estimate)
        known = [e.value for name in self.baselines if (e := evidence.estimates.get(name))]
        if found is None or not known:
            return None
        return Measured(found.high - max(known), f"{found.value:.3f} and {max(known):.3f}", found.n)


@dataclass(frozen=True)
class Exploited(Reading):
    """How surely the reward model's score rose while the known truth fell."""

    def __call__(self, evidence: Evidence) -> Measured | None:
        """The smaller of the two sure changes; above 0 where both are sure."""
        proxy = evidence.run.estimate(f"proxy_gain/{evidence.stage}")
        gold = evidence.run.estimate(f"gold_gain/{evidence.stage}")
        if proxy is None or gold is None:
            return None
        shown = f"reward {proxy.value:+.2f}, truth {gold.value:+.2f}"
        return Measured(max(0.0, min(proxy.low, -gold.high)), shown, gold.n)


@dataclass(frozen=True)
class Failed(Reading):
    """1 where the stage stopped with an error."""

    def __call__(self, evidence: Evidence) -> Measured | None:
        """0 or 1."""
        return Measured(
            float(evidence.failed), "stopped with an error" if evidence.failed else "no"
        )
