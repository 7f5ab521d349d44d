"""Every method that Fairlead has, as values: what it minimises, what it needs, when to choose it.

Most are objectives and describe themselves. `PROCEDURES` holds the others: ways to make training
data or rewards, which train with one of the objectives.
"""

from enum import StrEnum
from typing import Any

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
from fairlead.pipeline.stages import (
    ConsistencyStage,
    ExpertIterationStage,
    SelfPlayStage,
    StarStage,
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

OTHER_FAMILIES: dict[str, tuple[Family, str]] = {
    "pairwise_generative": (Family.REWARD_MODELS, "stage `compare`"),
    "xpo": FAMILIES[RolloutBatch],
}
"""Objectives whose family is not what their batch type says."""

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


def _of_stage(stage: Any, needs: tuple[str, ...]) -> Method:
    kind = stage.methods[0]
    return Method(
        kind=kind,
        title=stage.title,
        source=stage.source,
        equation=stage.equation,
        choose=stage.choose,
        needs=needs,
        family=Family.SELF_IMPROVEMENT,
        how=f"stage `{stage.model_fields['kind'].default}`",
    )


PROCEDURES: tuple[Method, ...] = (
    _of_stage(ExpertIterationStage, needs=("problems", "reward model or verifier", "rollouts")),
    Method(
        kind="rejection_sampling",
        title="Rejection sampling",
        source="Yuan et al. 2023, arXiv:2308.01825; best of n: Dong et al. 2023, arXiv:2304.06767",
        equation=r"-\mathbb{E}_{x}\,\log\pi(y^\star\mid x),\quad "
        r"y^\star = \arg\max_{i\le n} r(x, y_i),\ y_i\sim\pi_0(\cdot\mid x)",
        choose="A reward that can rank replies and a budget for sampling, but not for RL: one "
        "round is a strong and stable baseline.",
        needs=("prompts", "reward model or verifier", "rollouts"),
        family=Family.SELF_IMPROVEMENT,
        how="stage `expert_iteration`, one round",
    ),
    _of_stage(StarStage, needs=("problems", "rollouts", "verifier")),
    _of_stage(ConsistencyStage, needs=("prompts", "rollouts", "wrapped prompts")),
    Method(
        kind="online_dpo",
        title="Online DPO",
        source="Guo et al. 2024, arXiv:2402.04792",
        equation=r"-\log\sigma(\beta h(y_w, y_l)),\quad y_1, y_2\sim\pi_\theta(\cdot\mid x),\ "
        r"r(x, y_w) > r(x, y_l)",
        choose="A reward model or judge at hand: DPO on pairs of the policy's own fresh replies, "
        "with no critic.",
        needs=("prompts", "reference", "reward model or verifier", "rollouts"),
        family=Family.REINFORCEMENT,
        how="stage `rl`, with an objective on pairs",
    ),
    Method(
        kind="iterative_dpo",
        title="Iterative DPO",
        source="Dong et al. 2024, arXiv:2405.07863",
        equation=r"\pi_{t+1} = \arg\min_\pi -\mathbb{E}\,\log\sigma(\beta h_{\pi,\pi_{ref}}"
        r"(y_w, y_l)),\quad y_1\dots y_n\sim\pi_t(\cdot\mid x)",
        choose="As online DPO, in a few rounds of sampling and training: cheaper to run, and the "
        "pairs of each round can be looked at.",
        needs=("prompts", "reference", "reward model or verifier", "rollouts"),
        family=Family.REINFORCEMENT,
        how="stage `rl`, with an objective on pairs and `rollouts.sync_reference`",
    ),
    Method(
        kind="ensemble",
        title="Reward-model ensemble",
        source="Coste et al. 2023, arXiv:2310.02743",
        equation=r"r(x, y) = \mu - \lambda\,\sigma^2,\quad \mu = \tfrac{1}{M}\sum_i r_i(x, y),"
        r"\ \sigma^2 = \mathrm{Var}_i\, r_i(x, y)",
        choose="The policy finds replies that one reward model overrates: members that disagree "
        "lower the reward.",
        needs=("reward model",),
        family=Family.REWARDS,
        how="reward `ensemble` of the stage `rl`",
    ),
    Method(
        kind="length_debiased",
        title="Length-debiased reward",
        source="Singhal et al. 2023, arXiv:2310.03716",
        equation=r"r'(x, y) = r(x, y) - s\,(|y| - \bar n)",
        choose="A finished reward model that favours long replies and cannot be trained anew.",
        needs=("reward model",),
        family=Family.REWARDS,
        how="reward `length_debiased` of the stage `rl`",
    ),
    Method(
        kind="par",
        title="PAR: preference as reward",
        source="Fu et al. 2025, arXiv:2502.18770",
        equation=r"r'(x, y) = \tfrac{1}{M}\sum_m \sigma(k\,(r(x, y) - r(x, y_m))),\quad "
        r"y_m\sim\pi_{ref}(\cdot\mid x)",
        choose="RL whose reward runs away: a bounded reward gives no more for ever higher scores.",
        needs=("reference", "reward model"),
        family=Family.REWARDS,
        how="reward `par` of the stage `rl`",
    ),
    Method(
        kind="verifiable",
        title="Verifiable rewards",
        source="Lambert et al. 2024, arXiv:2411.15124",
        equation=r"r(x, y) = w_c\,1[\mathrm{answer}(y) = a] + w_f\,1[\mathrm{format}(y)]",
        choose="Problems whose answers a program can check: no reward model that could be fooled.",
        needs=("problems", "rollouts", "verifier"),
        family=Family.REWARDS,
        how="reward `checker` of the stage `rl`",
    ),
    Method(
        kind="generative_judge",
        title="A generative judge as the reward",
        source="Lee et al. 2023, arXiv:2309.00267",
        equation=r"r(x, y) = \mathrm{score}(\mathrm{judge}(x, y)), \quad \text{the group's mean "
        r"where it cannot be read}",
        choose="A judge you trust more than a reward model fitted to its verdicts, and can afford "
        "to ask for every reply.",
        needs=("judge", "prompts", "rollouts"),
        family=Family.REWARDS,
        how="reward `judge` of the stage `rl`, or `JudgeReward` from Python",
    ),
    Method(
        kind="gprl",
        title="GPRL: RL on general preferences",
        source="Umer et al. 2026, arXiv:2605.18721",
        equation=r"A_i = \sum_l \lambda_l\,\frac{g_{i,l} - \bar g_l}{\mathrm{std}_i\,g_{i,l} + "
        r"\epsilon},\quad g_{i,l} = \tfrac{1}{G-1}\sum_{j\ne i} S_l(y_i, y_j)",
        choose="Preferences with cycles, which no single score can hold: replies are credited by "
        "how they fare against the others of their group.",
        needs=("general preference model", "prompts", "reference", "rollouts"),
        family=Family.REWARDS,
        how="reward `gprl` of the stage `rl`",
    ),
    _of_stage(SelfPlayStage, needs=("judge model", "reference", "rollouts", "world")),
)
"""Methods that are no objective."""


def methods() -> tuple[Method, ...]:
    """Every method, objectives first within each family, sorted by kind."""
    objectives = [_of_objective(kind, objective) for kind, objective in sorted(OBJECTIVES.items())]
    every = [*objectives, *sorted(PROCEDURES, key=lambda method: method.kind)]
    return tuple(method for family in Family for method in every if method.family == family)


def _of_objective(kind: str, objective: type[Objective]) -> Method:
    family, how = OTHER_FAMILIES.get(kind, FAMILIES[objective.batch])
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
