from pathlib import Path

import pytest
from rich.console import Console
from transformers import BertConfig, BertModel

from fairlead.pipeline.plan import plan
from fairlead.pipeline.recipe import Recipe, load_recipe
from fairlead.pipeline.runner import run_recipe
from fairlead.pipeline.stages import RewardStage, RLStage, SFTStage
from fairlead.training.rollout_config import RolloutConfig
from small_world import tiny_llama, write_base
from tiny_runs import write_recipe


def table(recipe: Recipe, run: Path) -> dict[str, list[str]]:
    """Cells of each stage: kind, would, parameters, memory, examples, tokens."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(plan(recipe, run))
    rows = [line.split("│")[1:-1] for line in capture.get().splitlines() if line[:1] == "│"]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def size(model) -> int:
    return sum(p.numel() for p in model.parameters())


def gib(copies: int, parameters: int) -> str:
    return f"{copies * 4 * parameters / 2**30:.2f}"


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return load_recipe(write_recipe(tmp_path), ["sft.train.epochs=3"])


def test_numbers_of_a_known_model(recipe: Recipe, tmp_path: Path):
    found = table(recipe, tmp_path / "run")
    parameters = size(tiny_llama())
    assert found["data"] == ["records", "run", "?", "", "60", "?"]
    tokens = f"{60 * 512 * 3:,}"
    assert found["sft"] == ["sft", "run", f"{parameters:,}", gib(4, parameters), "60", tokens]
    assert found["dpo"][2:4] == [f"{parameters:,}", gib(5, parameters)]
    assert found["dpo"][5] == f"{60 * 60:,}"
    assert not (tmp_path / "run").exists()


def test_would_follows_from_the_run(recipe: Recipe, tmp_path: Path):
    run_recipe(recipe, tmp_path / "run")
    assert {row[1] for row in table(recipe, tmp_path / "run").values()} == {"keep"}
    assert not any(p.name.startswith(".") for p in (tmp_path / "run").rglob("*"))
    data, sft, dpo = recipe.stages
    other = recipe.model_copy(update={"stages": (data, sft, dpo.model_copy(update={"lora": None}))})
    assert [row[1] for row in table(other, tmp_path / "run").values()] == ["keep"] * 3
    longer = dpo.model_copy(update={"max_length": 50})
    other = recipe.model_copy(update={"stages": (data, sft, longer)})
    found = table(other, tmp_path / "run")
    assert [row[1] for row in found.values()] == ["keep", "keep", "run"]


def test_stage_that_does_not_follow_from_a_changed_one_is_kept(tmp_path: Path):
    folder = write_recipe(tmp_path).parent
    base, data = str(folder / "base"), str(folder / "pairs.jsonl")
    first = load_recipe(tmp_path / "tiny.yaml").stages[1]
    assert isinstance(first, SFTStage)
    settings = {"model": base, "data": data, "train": first.train}
    stages = (SFTStage(name="one", **settings), SFTStage(name="two", **settings))
    recipe = Recipe(name="side-by-side", stages=stages)
    run_recipe(recipe, tmp_path / "run")
    changed = (stages[0].model_copy(update={"max_length": 50}), stages[1])
    found = table(recipe.model_copy(update={"stages": changed}), tmp_path / "run")
    assert [row[1] for row in found.values()] == ["run", "keep"]


def test_tokens_of_ppo(tmp_path: Path):
    base = write_base(tmp_path / "base")
    rollouts = RolloutConfig(prompts=8, samples=2, iterations=3, epochs=4)
    ppo = RLStage(name="ppo", model=str(base), reward="r", data="d", rollouts=rollouts)
    found = table(Recipe(name="x", stages=(ppo,)), tmp_path / "run")
    parameters = size(tiny_llama())
    assert found["ppo"][2:4] == [f"{parameters:,}", gib(10, parameters)]
    # Every reply of at most 64 tokens is sampled once and trained on in four epochs.
    assert found["ppo"][5] == f"{8 * 2 * 3 * 64 * (1 + 4):,}"


def test_encoder(tmp_path: Path):
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    model = BertModel(config)
    model.save_pretrained(tmp_path / "bert")
    stage = RewardStage(name="reward", model=str(tmp_path / "bert"), data="d.jsonl")
    found = table(Recipe(name="x", stages=(stage,)), tmp_path / "run")
    assert found["reward"][2] == f"{size(model):,}"
