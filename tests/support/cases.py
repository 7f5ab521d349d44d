"""Every method as a stage of two optimizer steps on tiny models."""

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import ChatFormat, encode
from fairlead.models.heads import Preference
from fairlead.models.loading import Lora, new_reward_model, save_reward_model
from fairlead.models.policy import Policy
from fairlead.objectives import (
    OBJECTIVES,
    Need,
    Objective,
    PreferenceBatch,
    RolloutBatch,
    SequenceBatch,
    UnpairedBatch,
)
from fairlead.objectives.sft import SFT
from fairlead.pipeline.methods import PROCEDURES
from fairlead.pipeline.stage import Context
from fairlead.pipeline.stages import AnyStage
from fairlead.pipeline.task_worlds import ArithmeticTasks
from fairlead.records import Comparison, Problem, Ranking, StepLabels
from fairlead.records.files import write_records
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource
from small_world import comparisons, items_of, tiny_policy, world
from small_world import demonstrations as told

TRAIN = {"batch_size": 4, "max_steps": 2, "learning_rate": 1e-3, "microbatch_tokens": 512}
SAMPLING = {"max_new_tokens": 12}
GOLD = {"kind": "gold"}
STAGE: TypeAdapter[Any] = TypeAdapter(AnyStage)


INPUTS = ("base", "adder", "reward", "general", "given")
"""Folders that the stages read."""


def write_inputs(run: Path) -> None:
    """Models and records that the stages read; the policy has learnt to end its replies."""
    stages = run / "stages"
    policy = tiny_policy()
    source = DatasetSource(items_of(told(96)), sequence_batch, 16, 12, 2048, Seed(0))
    config = TrainConfig(learning_rate=1e-2)
    train(policy, SFT(), source, config, seed=Seed(0), run_dir=stages / "base")
    sums, tokenizer = ArithmeticWorld(), ArithmeticWorld().tokenizer()
    adder = Policy(sums.fresh_model(tokenizer, Seed(0)), tokenizer, base="sums")
    shown = [*sums.demonstrations(480, Seed(0), levels=[1], wordings=["compute"], mistakes=0.0)]
    shown += ArithmeticTasks((1,), ("compute",)).demonstrations(240, Seed(1))
    items, _ = encode(shown, ChatFormat(tokenizer), max_length=64)
    source = DatasetSource(items, sequence_batch, 16, 2, 2048, Seed(0))
    config = TrainConfig(learning_rate=3e-3)
    train(adder, SFT(), source, config, seed=Seed(0), run_dir=stages / "adder")
    for name, head in (("reward", None), ("general", Preference(subspaces=2))):
        model = new_reward_model(stages / "base/model", head=head, seed=Seed(0).child("head"))
        save_reward_model(model, stages / name / "model")
    pairs, given = comparisons(16), stages / "given"
    write_records(given / "demonstrations.jsonl", told(16))
    write_records(given / "pairs.jsonl", pairs)
    write_records(given / "costs.jsonl", [_with_safety(pair) for pair in pairs])
    write_records(given / "rankings.jsonl", [_ranked(pair) for pair in pairs])
    write_records(given / "steps.jsonl", _judged_steps(sums))
    write_records(given / "sums.jsonl", sums.comparisons(16, Seed(0), levels=[1]))
    write_records(given / "sum-problems.jsonl", sums.problems(8, Seed(0), levels=[1]))
    facts = world().prompts(16, seed=Seed(0), split="train", kinds=["fact"])
    solved = [Problem(prompt=p, answer="no", solution="no") for p in facts]
    write_records(given / "problems.jsonl", solved)


def _judged_steps(sums: ArithmeticWorld) -> list[StepLabels]:
    """Solutions with one mistake, each beside the right one."""
    wrong = sums.step_labels(16, Seed(0), rate=1.0)
    right = [sums.label_steps(own.prompt, sums.solution(own.prompt)) for own in wrong]
    return [*wrong, *right]


def _with_safety(pair: Comparison) -> Comparison:
    return pair.model_copy(update={"chosen_safe": True, "rejected_safe": False, "safer": "chosen"})


def _ranked(pair: Comparison) -> Ranking:
    return Ranking(
        prompt=pair.prompt,
        responses=(pair.chosen, pair.rejected),
        ranks=(0, 1),
        scores=({"help": 2.0, "care": 1.0}, {"help": 1.0, "care": 0.5}),
    )


def kinds() -> list[str]:
    """Every method."""
    return [*sorted(OBJECTIVES), *sorted(method.kind for method in PROCEDURES)]


def settings(kind: str) -> dict[str, Any]:
    """The stage that trains with a method, as a recipe names it."""
    if kind in OTHERS:
        return OTHERS[kind]
    objective = OBJECTIVES[kind]
    named = {"objective": {"kind": kind}, "model": BASES.get(kind, "@base")}
    if objective.batch is SequenceBatch:
        return {"kind": "sft", "model": "@base", "data": "@given/demonstrations.jsonl"}
    if objective.batch is RolloutBatch:
        return _online(objective={"kind": kind}, **ONLINE.get(kind, {}))
    data = f"@given/{DATA.get(kind, 'pairs')}.jsonl"
    if objective.batch is UnpairedBatch or _trains_a_policy(objective):
        return named | {"kind": "preference", "data": data}
    return named | {"kind": "reward", "data": data}


def _trains_a_policy(objective: type[Objective]) -> bool:
    return objective.batch is PreferenceBatch and Need.LOGPS in objective.needs


def _online(**changes: Any) -> dict[str, Any]:
    rollouts = {"prompts": 4, "iterations": 2, "epochs": 1, "minibatches": 1, "sampling": SAMPLING}
    return {
        "kind": "rl",
        "model": "@base",
        "reward": "@reward",
        "data": "@given/problems.jsonl",
        "require_eos": False,
        **changes,
        "rollouts": rollouts | changes.get("rollouts", {}),
    }


BASES = {"process_reward": "@adder", "step_dpo": "@adder"}
"""Models whose tokenizer knows lines."""

DATA = {
    "cost_model": "costs",
    "multi_objective": "rankings",
    "plackett_luce": "rankings",
    "process_reward": "steps",
    "step_dpo": "steps",
}
"""Records of the objectives that do not take plain pairs."""

ONLINE: dict[str, dict[str, Any]] = {"ppo_lagrangian": {"cost": GOLD, "rollouts": {"cost": {}}}}
"""What objectives on rollouts need besides."""

_SELF_TRAINING = {
    "model": "@base",
    "data": "@given/problems.jsonl",
    "test": "@given/problems.jsonl",
    "reward": GOLD,
    "samples": 2,
    "rounds": 1,
    "threshold": -100.0,
    "max_length": 60,
    "sampling": SAMPLING,
    "test_prompts": 4,
    "tries": 2,
}
OTHERS: dict[str, dict[str, Any]] = {
    "xpo": _online(objective={"kind": "xpo"}),
    "online_dpo": _online(objective={"kind": "dpo"}),
    "iterative_dpo": _online(objective={"kind": "dpo"}, rollouts={"sync_reference": 1}),
    "ensemble": _online(reward={"kind": "ensemble", "members": ["@reward", "@reward"]}),
    "generative_judge": _online(reward={"kind": "judge"}),
    "par": _online(reward={"kind": "par", "of": "@reward", "references_per_prompt": 2}),
    "length_debiased": _online(reward={"kind": "length_debiased", "of": "@reward"}),
    "pairwise_generative": {
        "kind": "compare",
        "model": "@adder",
        "data": "@given/sums.jsonl",
        "verdict": {"template": "{prompt}\n{first}\n\n{second}\n", "options": ["1", "2"]},
        "max_length": 127,
    },
    "scope": {
        "kind": "self_play",
        "model": "@adder",
        "levels": [1],
        "test": "@given/sum-problems.jsonl",
        "rounds": 1,
        "requests": 16,
        "tasks": 16,
        "band": [0.0, 1.0],
        "rules": {"votes": 4, "tries": 2, "free_tokens": 20, "limit_tokens": 40},
        "challenger": {
            "prompts": 2,
            "samples": 2,
            "iterations": 2,
            "sampling": {"max_new_tokens": 16},
        },
        "solver": {"prompts": 2, "samples": 2, "iterations": 2, "sampling": {"max_new_tokens": 16}},
        "test_problems": 4,
    },
    "verifiable": _online(reward={"kind": "checker", "checker": {"kind": "exact"}}),
    "expert_iteration": _SELF_TRAINING | {"kind": "expert_iteration"},
    "rejection_sampling": _SELF_TRAINING | {"kind": "expert_iteration", "select": {"kind": "best"}},
    "star": _SELF_TRAINING | {"kind": "star"},
    "self_trained_verification": {
        "kind": "verification",
        "model": "@base",
        "data": "@given/problems.jsonl",
        "test": "@given/problems.jsonl",
        "truth": "@reward",
        "threshold": 0.0,
        "format": {
            "student": "{question} {attempt}",
            "teacher": "{question} {solution} {attempt}",
            "accept": "yes",
            "reject": "no",
        },
        "sampling": SAMPLING,
        "verdicts": SAMPLING,
        "test_problems": 4,
    },
    "gprl": _online(
        objective={"kind": "grpo"},
        reward={"kind": "gprl", "path": "@general"},
        rollouts={"credit": {"kind": "as_scored"}},
    ),
    "consistency": {
        "kind": "consistency",
        "model": "@base",
        "data": "@given/problems.jsonl",
        "test": "@given/problems.jsonl",
        "wrapper": {"kind": "template", "after": " please"},
        "sampling": SAMPLING,
        "max_length": 60,
        "test_prompts": 4,
    },
}
"""Methods that are no objective of a stage, and objectives that need another stage."""


WITHOUT_ADAPTERS = {"iterative_dpo"}
"""Methods that refuse adapters: their reference is the model without them, which cannot move."""


def stage(kind: str, *, lora: bool) -> Any:
    """The stage of a method; None where it trains no adapters and is asked for them."""
    if lora and kind in WITHOUT_ADAPTERS:
        return None
    settled = settings(kind) | {"name": "own", "train": TRAIN}
    plain = STAGE.validate_python(settled)
    if not lora:
        return plain
    if "lora" not in type(plain).model_fields:
        return None
    return STAGE.validate_python(settled | {"lora": Lora(rank=2, alpha=4).model_dump()})


def run(kind: str, run_dir: Path, *, lora: bool) -> StageResult:
    """Trains for two steps in a run folder that holds the inputs; all processes take part."""
    own = stage(kind, lora=lora)
    folder = run_dir / "stages" / f"{kind}-{'lora' if lora else 'full'}"
    return own.run(Context(run_dir, folder, Seed(0).child(folder.name), False))
