"""Every audit proves itself: it finds planted defects, and passes a model against its like."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from pydantic import BaseModel, ConfigDict

from fairlead.audits.planted import CASES, COVERAGE, flagged
from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.stats.proportions import proportion

PLANTED_RUNS = 40
"""Runs with the defect."""
COVERAGE_RUNS = 1000
"""Simulated intervals of each kind."""
POWER = 0.8
"""An audit that finds its defect less often than this has not found it."""
FALSE_ALARMS = 0.05
"""Alarms without a defect that are expected at most."""
PASSES = 0.95
"""Runs without a defect that should pass every gate; the others may still be inconclusive."""
COVERED = (0.9, 0.97)
"""What intervals of 95 % may cover in simulation."""


class CaseResult(BaseModel):
    """How an audit did on one planted defect and on its twin without one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """The defect."""
    audit: str
    """Kind of the audit."""
    found: bool
    """Whether the defect is found with the power that is asked for."""
    power: Estimate
    """Share of runs with the defect that raise an alarm."""
    false_alarm: Estimate
    """Share of runs without it that do."""
    passed: Estimate
    """Share of runs without it in which every gate passes; the others are inconclusive."""

    @property
    def proven(self) -> bool:
        """Whether its defect is found, without alarms or passes that are shown to be off."""
        silent = self.false_alarm.low <= FALSE_ALARMS and self.passed.high >= PASSES
        return self.found and silent


class Coverage(BaseModel):
    """How often simulated intervals of 95 % hold the truth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    coverage: Estimate

    @property
    def proven(self) -> bool:
        """Whether the share lies where it may."""
        return COVERED[0] <= self.coverage.value <= COVERED[1]


class SelfTest(BaseModel):
    """All of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    audits: tuple[CaseResult, ...]
    coverage: tuple[Coverage, ...]

    @property
    def proven(self) -> bool:
        """Whether every line holds."""
        return all(one.proven for one in (*self.audits, *self.coverage))


def self_test(
    seed: int = 0,
    *,
    names: Sequence[str] = (),
    workers: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> SelfTest:
    """Plants every defect many times and counts alarms; simulates intervals and counts hits.

    Args:
        seed: of all runs.
        names: the cases to run; empty for all, with the coverage of intervals.
        workers: processes.
        say: gets a line per case.
    """
    wanted = [name for name in CASES if not names or name in names]
    intervals = [] if names else list(COVERAGE)
    with _mapping(workers) as run:
        cases: list[CaseResult] = []
        for result in run(partial(run_case, seed=seed), wanted):
            say(f"{result.name}: found in {result.power.value:.0%}")
            cases.append(result)
        covered = list(run(partial(run_coverage, seed=seed), intervals))
    return SelfTest(seed=seed, audits=tuple(cases), coverage=tuple(covered))


def run_case(name: str, *, seed: int) -> CaseResult:
    """One defect and its twin."""
    case, root = CASES[name], Seed(seed).child("self-test", name)
    alarms = sum(flagged(case.planted(root.child("planted", i))) for i in range(PLANTED_RUNS))
    clean = [case.clean(root.child("clean", i)) for i in range(case.runs)]
    power = proportion(alarms, PLANTED_RUNS)
    return CaseResult(
        name=name,
        audit=case.audit,
        found=power.value >= POWER,
        power=power,
        false_alarm=proportion(sum(map(flagged, clean)), case.runs),
        passed=proportion(sum(all(g.verdict == "pass" for g in f.gates) for f in clean), case.runs),
    )


def run_coverage(name: str, *, seed: int) -> Coverage:
    """One kind of interval."""
    root = Seed(seed).child("coverage", name)
    hits = sum(COVERAGE[name](root.child(i)) for i in range(COVERAGE_RUNS))
    return Coverage(name=name, coverage=proportion(hits, COVERAGE_RUNS))


class _mapping:
    """`map` over processes, or in this one."""

    def __init__(self, workers: int) -> None:
        self.pool = ProcessPoolExecutor(workers, get_context("spawn")) if workers > 1 else None

    def __enter__(self) -> Callable[..., Iterable]:
        return self.pool.map if self.pool else map

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)
