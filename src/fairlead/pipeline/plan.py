"""What a run would do and cost, without doing it."""

from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Group
from rich.syntax import Syntax
from rich.table import Table
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from fairlead.core.errors import FairleadError
from fairlead.data.readers import read
from fairlead.pipeline.recipe import Recipe
from fairlead.pipeline.runner import is_complete
from fairlead.pipeline.stage import Stage, packaged
from fairlead.pipeline.stages import PreferenceStage, RecordsStage, RewardStage, RLStage, SFTStage

COPIES = {"sft": 4, "reward": 4, "preference": 5, "rl": 10}
"""Copies of the weights held at once: a trained model is four (weights, gradients, two moments).
DPO adds its reference; PPO trains policy and critic and holds reference and reward model."""


def plan(recipe: Recipe, run_dir: Path) -> Group:
    """The resolved recipe, and per stage: whether it would run, memory and tokens.

    Memory counts weights, gradients and optimizer state in float32, not activations, which
    `microbatch_tokens` bounds. Tokens are an upper bound: examples times the longest length.
    """
    table = Table(
        "stage", "kind", "would", "parameters", "memory (GiB)", "examples", "tokens at most"
    )
    sizes: dict[str, int | None] = {}
    counts: dict[str, int | None] = {}
    runs: set[str] = set()
    for stage in recipe.stages:
        if runs & set(stage.upstream()) or not is_complete(stage, recipe, run_dir):
            runs.add(stage.name)
        sizes[stage.name] = size = _parameters(stage, sizes)
        counts[stage.name] = _examples(stage, counts)
        examples = counts[stage.name]
        table.add_row(
            stage.name,
            getattr(stage, "kind", ""),
            "run" if stage.name in runs else "keep",
            _number(size),
            _memory(stage, size),
            _number(examples),
            _number(_tokens(stage, examples)),
        )
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return Group(Syntax(text, "yaml"), table, f"run folder: {run_dir}")


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _parameters(stage: Stage, sizes: dict[str, int | None]) -> int | None:
    reference = getattr(stage, "model", None)
    if reference is None:
        return None
    if reference.startswith("@"):
        return sizes.get(reference[1:].split("/")[0])
    try:
        if reference.startswith("package:"):
            reference = str(packaged(reference.removeprefix("package:")))
        config = AutoConfig.from_pretrained(reference)
        with torch.device("meta"):
            kind = AutoModel if isinstance(stage, RewardStage) else AutoModelForCausalLM
            model: Any = kind.from_config(config)
        return sum(p.numel() for p in model.parameters())
    except (OSError, ValueError):
        return None


def _examples(stage: Stage, counts: dict[str, int | None]) -> int | None:
    if isinstance(stage, RecordsStage):
        if stage.path is None:
            return None
        try:
            return len(read(stage.path, stage.format).records)
        except FairleadError:
            return None
    data = getattr(stage, "data", None)
    return counts.get(data[1:].split("/")[0]) if isinstance(data, str) and data[:1] == "@" else None


def _memory(stage: Stage, size: int | None) -> str:
    copies = COPIES.get(getattr(stage, "kind", ""))
    if copies is None or size is None:
        return ""
    return f"{copies * 4 * size / 2**30:.2f}"


def _tokens(stage: Stage, examples: int | None) -> int | None:
    match stage:
        case RLStage():
            rollouts = stage.rollouts
            replies = rollouts.prompts * rollouts.samples * rollouts.iterations
            return replies * rollouts.sampling.max_new_tokens * (1 + rollouts.epochs)
        case SFTStage() | RewardStage() | PreferenceStage() if examples is not None:
            return examples * stage.max_length * stage.train.epochs
        case _:
            return None
