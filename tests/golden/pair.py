"""Two processes on one machine, joined over gloo as `torchrun` would join them."""

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

import yaml
from chain import command, environment

from small_world import write_base, write_pairs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(arguments: Sequence[str], log: Path) -> list[subprocess.Popen[bytes]]:
    """Starts both; what each says goes to its own file beside `log`."""
    port, started = str(free_port()), []
    for rank in range(2):
        joined = environment(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            LOCAL_WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
            PYTHONPATH=os.pathsep.join([str(Path(__file__).parents[1])]),
        )
        with open(said(log, rank), "wb") as output:
            started.append(
                subprocess.Popen(list(arguments), env=joined, stdout=output, stderr=output)
            )
    return started


def said(log: Path, rank: int) -> Path:
    return log.with_name(f"{log.name}.{rank}.txt")


def run_both(recipe: Path, out: Path, *options: str) -> list[int]:
    """Runs a recipe in two processes; returns their exit codes."""
    return [p.wait(timeout=300) for p in launch(command(recipe, out, *options), out)]


def write_pair_recipe(folder: Path, *, examples: int, stages: Sequence[str]) -> Path:
    """Every kind of stage; batches of 8, so that the last one of an epoch may be odd."""
    data = str(write_pairs(folder / f"pairs-{examples}.jsonl", examples))
    base = str(write_base(folder / "base"))
    shown = {"max_new_tokens": 12}
    every = {
        "sft": {"kind": "sft", "model": base},
        "label": {"kind": "label", "policy": "@sft", "train": data, "test": data},
        "reward": {"kind": "reward", "model": "@sft", "test": data},
        "dpo": {"kind": "preference", "model": "@sft", "test": data},
        "ppo": {"kind": "rl", "model": "@sft", "reward": "@reward", "require_eos": False},
        "evaluate": {"kind": "evaluate", "baseline": "@sft", "policies": {"dpo": "@dpo"}},
    }
    every["label"] |= {"sampling": shown, "samples": 2, "pairs": 1}
    every["ppo"]["rollouts"] = {"prompts": 8, "iterations": 2, "sampling": shown}
    every["evaluate"] |= {"data": data, "prompts": 8, "samples": 1, "sampling": shown}
    every["evaluate"] |= {"reward": "@reward", "gold": "assistant", "best_of": []}
    for name, rate in {"sft": 1e-2, "reward": 1e-3, "dpo": 1e-3, "ppo": 1e-3}.items():
        train = {"batch_size": 8, "epochs": 2, "checkpoint_every": 10, "learning_rate": rate}
        every[name] |= {"data": data, "train": train}
    chosen = [{"name": name, **every[name]} for name in stages]
    file = folder / f"pair-{examples}-{len(stages)}.yaml"
    file.write_text(yaml.safe_dump({"name": "pair", "stages": chosen}))
    return file
