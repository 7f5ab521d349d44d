"""A recipe of all four training stages on tiny models, run in processes that can be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from fairlead.core.files import sha256_file
from small_world import write_base, write_pairs

STAGES = ("sft", "reward", "dpo", "ppo")
STEPS = 60
"""Optimizer steps of each stage."""
EVERY = 10
"""Optimizer steps between checkpoints."""


def write_recipe(folder: Path, *, seed: int = 0, last: str = "ppo") -> Path:
    """SFT, reward model, DPO and PPO, sixty steps each, a checkpoint after every ten."""
    data = str(write_pairs(folder / "pairs.jsonl", 160))
    base = str(write_base(folder / "base"))
    train = {"batch_size": 8, "epochs": 3, "checkpoint_every": EVERY, "microbatch_tokens": 256}
    ppo = {
        "prompts": 8,
        "iterations": 15,
        "epochs": 2,
        "minibatches": 2,
        "sampling": {"max_new_tokens": 12},
        "kl": {"coefficient": 0.1, "target": 0.5, "horizon": 20},
        "pretraining_ratio": 0.5,
    }
    stages = [
        {"kind": "sft", "name": "sft", "model": base, "data": data},
        {"kind": "reward", "name": "reward", "model": "@sft", "data": data},
        {"kind": "preference", "name": "dpo", "model": "@sft", "data": data},
        {
            "kind": "rl",
            "name": "ppo",
            "model": "@sft",
            "reward": "@reward",
            "data": data,
            "pretraining": data,
            "rollouts": ppo,
            "require_eos": False,
        },
    ]
    rates = {"sft": 1e-2, "reward": 1e-3, "dpo": 1e-3, "ppo": 1e-3}
    for stage in stages:
        stage["train"] = {**train, "learning_rate": rates[str(stage["name"])]}
    stages = stages[: STAGES.index(last) + 1]
    file = folder / f"{last}-{seed}.yaml"
    file.write_text(yaml.safe_dump({"name": "chain", "seed": seed, "stages": stages}))
    return file


def command(recipe: Path, out: Path, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "fairlead.cli.main", "run", str(recipe)),
        *("--out", str(out), *options),
    ]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", **more}


def lines_in(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def kill_in(stage: str, recipe: Path, out: Path, *options: str, after: int) -> int:
    """Starts the run and kills it with SIGKILL once `after` steps of a stage are logged.

    Returns the steps that it had logged when it died.
    """
    log = out / "stages" / stage / "metrics.jsonl"
    process = start(recipe, out, *options)
    watch(process, lambda: lines_in(log) >= after)
    kill(process)
    return lines_in(log)


def start(recipe: Path, out: Path, *options: str) -> subprocess.Popen[bytes]:
    with open(out.parent / "output.txt", "ab") as output:
        return subprocess.Popen(
            command(recipe, out, *options), env=environment(), stdout=output, stderr=output
        )


def watch(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    """Waits for a moment in the life of a process."""
    deadline = time.monotonic() + 240
    while not reached():
        assert process.poll() is None, "the run ended too early; see output.txt"
        assert time.monotonic() < deadline, "the moment did not come"
        time.sleep(0.0005)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def finish(recipe: Path, out: Path, *options: str) -> str:
    """Runs to the end; returns what was said."""
    done = subprocess.run(
        command(recipe, out, *options),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def weights(stage: Path) -> dict[str, str]:
    """Hashes of the files of weights in a stage's model folder."""
    return {p.name: sha256_file(p) for p in sorted((stage / "model").glob("*.safetensors"))}


def checkpoints(stage: Path) -> list[int]:
    return [int(p.name.split("-")[1]) for p in sorted((stage / "checkpoints").glob("step-*"))]


def final_checkpoint(stage: Path) -> dict[str, str]:
    """Hashes of the last checkpoint, optimizer and source state included."""
    newest = sorted((stage / "checkpoints").glob("step-*"))[-1]
    return json.loads((newest / "checksums.json").read_text())
