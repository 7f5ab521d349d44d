"""One epoch of DPO: Fairlead against TRL's DPOTrainer, on equal models, pairs and batches.

python -m benchmarks.dpo [--models S,M] [--rounds 3] [--json FILE]

Every side is a process of its own that runs one epoch when told to. A round is one epoch of each
side in turn; the first is warm-up and dropped. Only one side computes at a time. An epoch during
which other work took CPU time is left out, whatever its result, and measured again.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import describe, peer_versions
from benchmarks.process import Side
from benchmarks.table import render
from benchmarks.work import SIZES, make_model, make_pairs
from fairlead.core.files import write_json, write_text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "dpo.json"
PEER_ENVIRONMENT = ROOT / ".venv-trl"
PEER_PACKAGES = ("trl==1.16.0", "transformers==5.23.0")

GROUPS = (
    ("fairlead", "trl", "trl tuned"),
    ("fairlead", "trl precomputed", "trl precomputed tuned"),
)
"""Sides that are alive together: all at once would not fit in a small machine's memory."""

DISTURBED = 0.15
"""An epoch during which other work used more CPUs than this is measured again."""

PATIENCE = 4
"""Epochs that a side runs at most for each that counts; then the least disturbed ones count."""

LOSS_TOLERANCE = 1e-4
NORM_TOLERANCE = 1e-3


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, shows the table and writes it beside the JSON."""
    asked = _parsed(arguments)
    peer = peer_python()
    machine = {**describe(), "peer_versions": peer_versions(peer)}
    rows = [measure(name, asked.rounds, peer) for name in asked.models.split(",")]
    result = {"benchmark": "dpo", "machine": machine, "rounds": asked.rounds, "rows": rows}
    table = render(result)
    print(table)
    write_json(asked.json, result)
    write_text(asked.json.with_suffix(".md"), table)


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dpo", description=__doc__)
    parser.add_argument("--models", default="S,M", help="of S and M, with commas between")
    parser.add_argument("--rounds", type=int, default=3, help="epochs that count, of each side")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where results go")
    return parser.parse_args(arguments)


def peer_python() -> str:
    """Python with TRL and otherwise our versions; its environment is made where there is none."""
    python = PEER_ENVIRONMENT / "bin" / "python"
    done = PEER_ENVIRONMENT / ".setup-done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEER_ENVIRONMENT)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*install, "torch==2.13.0"], check=True)
        subprocess.run([*install, *PEER_PACKAGES], check=True)
        done.touch()
    return str(python)


def measure(name: str, rounds: int, peer: str) -> dict[str, Any]:
    """One row: all sides on one model."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_model(SIZES[name], folder / "model")
        answers = [_interleaved(name, group, rounds, peer, folder) for group in GROUPS]
    return _row(name, rounds, answers)


def _interleaved(
    name: str, group: Sequence[str], rounds: int, peer: str, folder: Path
) -> dict[str, list[dict[str, Any]]]:
    """Answers of all sides; goes on until each has enough undisturbed epochs, or patience ends."""
    answers: dict[str, list[dict[str, Any]]] = {label: [] for label in group}
    with ExitStack() as alive:
        sides = {label: alive.enter_context(_side(name, label, peer, folder)) for label in group}
        for number in range(1 + PATIENCE * rounds):
            missing = [x for x in group if len(_undisturbed(answers[x])) < rounds]
            for label in missing:
                answers[label].append(sides[label].epoch())
                _tell(f"{name} round {number} {label}", answers[label][-1])
    return answers


def _tell(what: str, answer: dict[str, Any]) -> None:
    seconds, others = answer["seconds"], _others(answer)
    shown = f"{seconds:.1f} s, {others:.2f} CPUs busy with other work"
    print(f"{what}: {shown}", file=sys.stderr, flush=True)


def _others(answer: dict[str, Any]) -> float:
    """CPUs that other work kept busy during an epoch."""
    return answer["others_cpu_seconds"] / answer["seconds"]


def _undisturbed(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer for answer in answers[1:] if _others(answer) <= DISTURBED]


@contextmanager
def _side(name: str, label: str, peer: str, folder: Path) -> Iterator[Side]:
    first, *options = label.split()
    python = sys.executable if first == "fairlead" else peer
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        command = [python, "-m", f"benchmarks.dpo_{first}", name, str(folder / "model"), scratch]
        environment = {**os.environ, "HF_DATASETS_CACHE": scratch, "HF_HUB_OFFLINE": "1"}
        with Side([*command, *options], environment, ROOT) as side:
            yield side


@dataclass(frozen=True)
class Timed:
    """What a side's epochs took, without the warm-up."""

    seconds: list[float]
    cpu_seconds: list[float]
    others: float
    """CPUs that other work on the machine kept busy during the worst of them, on average."""
    once: float
    """Seconds spent before the first epoch on what is never done again."""
    above_mib: float
    """Peak memory above that after the model was loaded."""

    left_out: int
    """Epochs that did not count, besides the warm-up."""

    @classmethod
    def of(cls, answers: Sequence[dict[str, Any]], rounds: int) -> "Timed":
        """From a side's answers, the warm-up first: the `rounds` least disturbed epochs count."""
        used = sorted(answers[1:], key=_others)[:rounds]
        return cls(
            [a["seconds"] for a in used],
            [a["cpu_seconds"] for a in used],
            max(map(_others, used)),
            answers[0]["once_seconds"],
            answers[-1]["above_mib"],
            len(answers) - 1 - len(used),
        )

    @property
    def typical(self) -> float:
        """Median seconds."""
        return median(self.seconds)


def _row(
    name: str, rounds: int, answers: Sequence[dict[str, list[dict[str, Any]]]]
) -> dict[str, Any]:
    """The figures of one model; a ratio only ever compares sides that ran in turns."""
    first = answers[0]
    equality = [_equality(group) for group in answers]
    ours, ours_again = (Timed.of(group["fairlead"], rounds) for group in answers)
    peers = {label: Timed.of(a, rounds) for group in answers for label, a in group.items()}
    peer, tuned = peers["trl"], peers["trl tuned"]
    precomputed = peers["trl precomputed"]
    precomputed_tuned = peers["trl precomputed tuned"]
    pairs = make_pairs(SIZES[name])
    tokens = sum(2 * len(p.prompt) + len(p.chosen) + len(p.rejected) for p in pairs)
    return {
        "name": f"dpo/{name}",
        "model": name,
        "tokens": tokens,
        "ours_s": ours.typical,
        "ours_reference_once_s": ours.once,
        "ours_with_reference_s": ours.typical + ours.once,
        "peer_s": peer.typical,
        "peer_tuned_s": tuned.typical,
        "ours_beside_precomputed_s": ours_again.typical,
        "peer_precomputed_s": precomputed.typical,
        "peer_precomputed_tuned_s": precomputed_tuned.typical,
        "peer_reference_once_s": precomputed.once,
        "speedup": peer.typical / ours.typical,
        "speedup_with_reference": peer.typical / (ours.typical + ours.once),
        "speedup_tuned": tuned.typical / ours.typical,
        "speedup_precomputed": precomputed.typical / ours_again.typical,
        "speedup_precomputed_tuned": precomputed_tuned.typical / ours_again.typical,
        "ours_cpu_s": median(ours.cpu_seconds),
        "peer_cpu_s": median(peer.cpu_seconds),
        "memory_ours_mib": ours.above_mib,
        "memory_peer_mib": peer.above_mib,
        "memory_peer_precomputed_mib": precomputed.above_mib,
        "memory_ratio": ours.above_mib / peer.above_mib,
        "tokens_per_s_ours": tokens / ours.typical,
        "tokens_per_s_peer": tokens / peer.typical,
        "rounds": rounds,
        "others_cpus": max(side.others for side in (*peers.values(), ours, ours_again)),
        "epochs_left_out": sum(side.left_out for side in (*peers.values(), ours)),
        "epochs_s": {
            "ours": ours.seconds,
            "peer": peer.seconds,
            "peer_tuned": tuned.seconds,
            "ours_beside_precomputed": ours_again.seconds,
            "peer_precomputed": precomputed.seconds,
            "peer_precomputed_tuned": precomputed_tuned.seconds,
        },
        "equality": {
            "first_loss": first["fairlead"][0]["steps"][0]["loss"],
            "peer_first_loss": first["trl"][0]["steps"][0]["loss"],
            "loss_gap": max(e[0] for e in equality),
            "gradient_norm_gap": max(e[1] for e in equality),
        },
    }


def _equality(group: dict[str, list[dict[str, Any]]]) -> tuple[float, float]:
    """Largest gap in loss and, relative, in gradient norm between us and any peer, at any step.

    Raises:
        SystemExit: the sides did not do the same work.
    """
    ours = group["fairlead"]
    loss_gap = norm_gap = 0.0
    for label, answers in group.items():
        if answers[0]["data"] != ours[0]["data"]:
            raise SystemExit(f"{label} was trained on other tokens")
        for mine, theirs in zip(_steps(ours), _steps(answers), strict=False):
            loss_gap = max(loss_gap, abs(mine["loss"] - theirs["loss"]))
            relative = mine["gradient_norm"] / theirs["gradient_norm"] - 1
            norm_gap = max(norm_gap, abs(relative))
    if loss_gap > LOSS_TOLERANCE or norm_gap > NORM_TOLERANCE:
        raise SystemExit(f"unequal work: loss differs by {loss_gap}, gradient norm by {norm_gap}")
    return loss_gap, norm_gap


def _steps(answers: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    return [step for answer in answers for step in answer["steps"]]


if __name__ == "__main__":
    main()
