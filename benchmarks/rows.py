"""From the answers of the sides to rows of figures: equality first, then time and memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import numpy as np

from benchmarks.comparisons import Answer, Row, Work
from benchmarks.rates import Rates
from benchmarks.work import SIZES, Size

DISTURBED = 0.15
"""A turn during which other work used more CPUs than this is measured again."""


class Unequal(Exception):
    """The sides did not do the same work, so their times must not be compared."""


def others(answer: Answer) -> float:
    """CPUs that other work kept busy during a turn."""
    return answer["others_cpu_seconds"] / answer["seconds"]


def undisturbed(answers: Sequence[Answer]) -> list[Answer]:
    """Turns that count, without the warm-up."""
    return [answer for answer in answers[1:] if others(answer) <= DISTURBED]


def rows_of(
    work: Work, model: str, answers: Mapping[str, Sequence[Answer]], rounds: int, rates: Rates
) -> list[dict[str, Any]]:
    """The rows that a piece of work gives; a ratio only ever compares sides that ran in turns.

    Raises:
        Unequal: the sides did other work than each other.
    """
    equality = gaps(work, answers)
    sides = {label: Side.of(given, rounds) for label, given in answers.items()}
    return [
        {"name": row.name, "model": model, "unit": row.unit, "rounds": rounds}
        | figures(row, SIZES[model], sides, rates)
        | {"equality": equality}
        for row in work.rows
    ]


@dataclass(frozen=True)
class Side:
    """A side's turns."""

    counted: list[Answer]
    """The least disturbed ones after the warm-up."""
    left_out: int
    first: Answer
    last: Answer

    @classmethod
    def of(cls, answers: Sequence[Answer], rounds: int) -> "Side":
        """From all of a side's answers, the warm-up first."""
        counted = sorted(answers[1:], key=others)[:rounds]
        return cls(counted, len(answers) - 1 - len(counted), answers[0], answers[-1])

    def seconds(self, row: Row) -> list[float]:
        """Per unit, of each turn that counts."""
        return [row.seconds(answer) for answer in self.counted]

    def parts(self) -> dict[str, float]:
        """Median seconds per optimizer step of each part that the side timed."""
        return {
            name: median(a["parts"][name] / len(a["steps"]) for a in self.counted)
            for name in self.counted[0]["parts"]
        }

    @property
    def memory(self) -> float:
        """Peak in MiB above that of the loaded model."""
        return self.last["above_mib"]

    @property
    def faults(self) -> float:
        """Minor page faults per optimizer step, or per turn where there are none."""
        return median(answer["faults"] / max(len(answer["steps"]), 1) for answer in self.counted)


def figures(row: Row, size: Size, sides: Mapping[str, Side], rates: Rates) -> dict[str, Any]:
    """All figures of one row."""
    seconds = {label: side.seconds(row) for label, side in sides.items()}
    typical = {label: median(each) for label, each in seconds.items()}
    ours, peer = sides["ours"], sides["peer"]
    tuned = typical.get("peer_tuned")
    found: dict[str, Any] = {f"{label}_s": value for label, value in typical.items()}
    found |= {
        "speedup": typical["peer"] / typical["ours"],
        "speedup_tuned": None if tuned is None else tuned / typical["ours"],
        "rounds_s": seconds,
    }
    for label, side in sides.items():
        tokens = mean(row.tokens(size, answer) for answer in side.counted)
        found |= {
            f"{label}_tokens": tokens,
            f"{label}_tokens_per_s": tokens / typical[label],
            f"{label}_memory_mib": side.memory,
            f"{label}_faults": side.faults,
            f"{label}_cpu_s": median(a["cpu_seconds"] / a["seconds"] for a in side.counted)
            * typical[label],
            f"{label}_parts_s": side.parts(),
        }
    found["memory_ratio"] = ours.memory / peer.memory
    if row.floor is not None:
        found |= _beside_floor(row, size, sides, rates, typical)
    for name in ("once_seconds", "state_mib"):
        found |= {f"{x}_{name}": s.first[name] for x, s in sides.items() if name in s.first}
    if "ours_state_mib" in found:
        found["state_ratio"] = found["ours_state_mib"] / found["peer_state_mib"]
    found["others_cpus"] = max(others(a) for side in sides.values() for a in side.counted)
    found["left_out"] = sum(side.left_out for side in sides.values())
    return found


def _beside_floor(
    row: Row, size: Size, sides: Mapping[str, Side], rates: Rates, typical: Mapping[str, float]
) -> dict[str, float]:
    """The floor of our own turns, and how many of its operations each side does per second."""
    assert row.floor is not None
    found: dict[str, float] = {}
    for label, side in sides.items():
        floors = [row.floor(size, rates, answer) for answer in side.counted]
        found[f"{label}_gflops"] = mean(f.operations for f in floors) / typical[label] / 1e9
        if label == "ours":
            found["floor_s"] = mean(floor.seconds for floor in floors)
    return found | {"floor_ratio": typical["ours"] / found["floor_s"]}


def gaps(work: Work, answers: Mapping[str, Sequence[Answer]]) -> dict[str, float]:
    """Largest difference to a peer in each value that is compared, absolute or relative.

    Raises:
        Unequal: other tokens, or a difference beyond its tolerance.
    """
    ours = answers["ours"]
    found = dict.fromkeys(work.tolerances, 0.0)
    for label, given in answers.items():
        if given[0].get("data") != ours[0].get("data"):
            raise Unequal(f"{label} worked on other tokens")
        for mine, theirs in zip(_steps(work, ours), _steps(work, given), strict=False):
            for name, (absolute, relative) in work.tolerances.items():
                gap = _gap(mine[name], theirs[name], relative=not absolute)
                if not gap <= (absolute or relative):  # also where it is not a number
                    raise Unequal(f"{name} of {label} differs by {gap:.2g}, beyond its tolerance")
                found[name] = max(found[name], gap)
    return {f"{name}_gap": gap for name, gap in found.items()}


def _gap(mine: Any, theirs: Any, *, relative: bool) -> float:
    difference = np.abs(np.subtract(mine, theirs))
    return float(np.max(difference / np.abs(theirs) if relative else difference))


def _steps(work: Work, answers: Sequence[Answer]) -> list[dict[str, Any]]:
    steps = [step for answer in answers for step in answer["steps"]]
    return steps[: work.compared]
