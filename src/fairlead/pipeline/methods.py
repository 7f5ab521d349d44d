"""Every method that Fairlead has, as values: what it minimises, what it needs, when to choose it.

Most are objectives and describe themselves. `PROCEDURES` holds the others: ways to make training
data or rewards, which train with one of the objectives.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from fairlead.objectives import (
    OBJECTIVES,
    DistillationBatch,
    Need,
    Objective,
    PreferenceBatch,
    RolloutBatch,
    SequenceBatch,
    StepBatch,
    UnpairedBatch,
)


class Family(StrEnum):
    """What methods are grouped by."""

    IMITATION = "imitation"
    PREFERENCES = "preferences without a reward model"
    REWARD_MODELS = "reward models"
    REINFORCEMENT = "reinforcement learning"
    REWARDS = "rewards for reinforcement learning"
    SELF_IMPROVEMENT = "self-improvement"


class Method(BaseModel):
    """A method as `fairlead methods` and docs/objectives.md show it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """Its name in recipes."""
    title: str
    """Its name for people."""
    source: str
    """Authors, year and arXiv id."""
    equation: str
    """What is minimised or done, in LaTeX."""
    choose: str
    """When to choose it."""
    needs: tuple[str, ...]
    """What it asks for, in words, sorted."""
    family: Family
    how: str
    """The stage or setting that runs it."""


FAMILIES: dict[type, tuple[Family, str]] = {
    SequenceBatch: (Family.IMITATION, "stage `sft`"),
    PreferenceBatch: (Family.PREFERENCES, "stage `preference`, as its `objective`"),
    UnpairedBatch: (Family.PREFERENCES, "stage `preference`, as its `objective`"),
    StepBatch: (Family.REWARD_MODELS, "stage `reward`, as its `objective`"),
    RolloutBatch: (Family.REINFORCEMENT, "stage `rl`, as its `objective`"),
    DistillationBatch: (Family.SELF_IMPROVEMENT, "stage `verification`, as its `objective`"),
}
"""Family and stage of an objective, by the batches it takes."""

DATA: dict[type, frozenset[str]] = {
    SequenceBatch: frozenset({"demonstrations"}),
    PreferenceBatch: frozenset({"pairs"}),
    UnpairedBatch: frozenset({"thumbs"}),
    StepBatch: frozenset({"step labels"}),
    RolloutBatch: frozenset({"prompts", "reward model or verifier"}),
    DistillationBatch: frozenset({"problems", "teacher distribution"}),
}
"""What an objective asks of the data, by the batches it takes."""

PARTS: dict[Need, str] = {
    Need.REFERENCE: "reference",
    Need.ROLLOUTS: "rollouts",
    Need.VALUES: "value head",
    Need.COST_VALUES: "cost value head",
    Need.REWARDS: "reward head",
    Need.STEPS: "step head",
    Need.LENGTH_REWARDS: "length head",
    Need.LATENTS: "bottleneck head",
    Need.DIMENSIONS: "head with dimensions",
    Need.EMBEDDINGS: "embedding head",
}
"""What an objective asks of the model; log-probabilities and the like every model has."""

OTHER_DATA: dict[str, frozenset[str]] = {
    "plackett_luce": frozenset({"rankings"}),
    "step_dpo": frozenset({"step pairs"}),
    "cost_model": frozenset({"pairs", "safety labels"}),
    "multi_objective": frozenset({"pairs", "ratings by dimension"}),
    "ppo_lagrangian": frozenset({"prompts", "reward model or verifier", "cost model"}),
    "nash_md": frozenset({"prompts", "preference model"}),
    "xpo": frozenset({"prompts", "reward model or verifier", "rollouts"}),
}
"""Objectives whose data is not all that their batch type says."""

PROCEDURES: tuple[Method, ...] = ()
"""Methods that are no objective."""


def methods() -> tuple[Method, ...]:
    """Every method, objectives first within each family, sorted by kind."""
    objectives = [_of_objective(kind, objective) for kind, objective in sorted(OBJECTIVES.items())]
    every = [*objectives, *sorted(PROCEDURES, key=lambda method: method.kind)]
    return tuple(method for family in Family for method in every if method.family == family)


def _of_objective(kind: str, objective: type[Objective]) -> Method:
    family, how = FAMILIES[objective.batch]
    if family is Family.PREFERENCES and Need.LOGPS not in objective.needs:
        family, how = FAMILIES[StepBatch]
    data = OTHER_DATA.get(kind, DATA[objective.batch])
    needs = data | {PARTS[need] for need in objective.needs if need in PARTS}
    return Method(
        kind=kind,
        title=objective.title,
        source=objective.source,
        equation=objective.equation,
        choose=objective.choose,
        needs=tuple(sorted(needs)),
        family=family,
        how=how,
    )
