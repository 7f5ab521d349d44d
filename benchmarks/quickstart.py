"""Runs the quickstart for several seeds and records time, memory and gains.

python -m benchmarks.quickstart [--seeds 0,1,2] [--out benchmarks/results/quickstart.json]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.pages import cell
from fairlead.report import report_json

RESULTS = Path(__file__).parent / "results" / "quickstart.json"
SHOWN = ("reward_model/accuracy", "reward_model/accuracy_ceiling")


def measure(seed: int, folder: Path) -> dict:
    """One run as a process of its own: seconds, peak memory in MiB, estimates."""
    command = [sys.executable, "-m", "fairlead.cli.main", "quickstart"]
    started = time.monotonic()
    process = subprocess.Popen(
        [*command, "--seed", str(seed), "--out", str(folder)], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"seed {seed}: the quickstart failed with status {process.returncode}")
    seconds = time.monotonic() - started
    report = report_json(folder)
    estimates = {e["name"]: e for e in report["estimates"]}
    stages = {stage["name"]: stage["seconds"] for stage in report["stages"]}
    peak = usage.ru_maxrss / 1024
    return {
        "seed": seed,
        "seconds": seconds,
        "peak_mib": peak,
        "stages": stages,
        "estimates": estimates,
    }


def table(result: dict) -> str:
    """The runs as a Markdown table."""
    lines = [
        "| seed | seconds | peak MiB | gold gain, DPO | gold gain, PPO | gold gain, best-of-n "
        "| reward-model accuracy | ceiling |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in result["runs"]:
        names = ("gold_gain/dpo", "gold_gain/ppo", "gold_gain/best_of_n", *SHOWN)
        cells = [cell(run["estimates"][name]) for name in names]
        head = [str(run["seed"]), f"{run['seconds']:.0f}", f"{run['peak_mib']:.0f}"]
        lines.append(f"| {' | '.join([*head, *cells])} |")
    return "\n".join(lines)


def main() -> None:
    """Measures every seed, then writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
        result = {"machine": describe(), "runs": []}
        for seed in seeds:
            result["runs"].append(measure(seed, Path(folder) / str(seed)))
            arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
