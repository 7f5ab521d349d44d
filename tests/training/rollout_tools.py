"""Rollout sources around a tiny policy, and views of the steps they give."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.generation.local import LocalEngine
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need
from fairlead.objectives.batch import RolloutBatch
from fairlead.objectives.ppo import PPO
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward
from fairlead.training.collecting import Collector
from fairlead.training.rollout_config import RolloutConfig
from fairlead.training.rollouts import RolloutSource
from fairlead.training.source import Step
from small_world import demonstrations, items_of, prompt_ids, prompts, tiny_policy

NEW_TOKENS = 10
LOGPS = frozenset({Need.LOGPS})


def start(taught: dict[str, Tensor], **options: Any) -> Policy:
    """A policy with those weights and, unless told otherwise, a fresh value head."""
    plain = tiny_policy()
    plain.model.load_state_dict(taught)
    if "lora" not in options:
        return Policy(plain.model, plain.tokenizer, value=options.get("value", "shared"))
    return Policy(options["lora"].wrap(plain.model), plain.tokenizer, value="shared")


def length_reward(prompt: Prompt, text: str) -> float:
    return float(len(text.split()))


def make(
    policy: Policy,
    *,
    reward: Callable[[Prompt, str], float] = length_reward,
    engine: Policy | None = None,
    reference: Policy | None = None,
    asked: int = 12,
    pretraining: int = 0,
    tokens: int = 512,
    seed: int = 0,
    **settings: Any,
) -> RolloutSource:
    records = prompts(asked)
    sampling = {"max_new_tokens": NEW_TOKENS, **settings.pop("sampling", {})}
    config = {"prompts": 12, "iterations": 3, "epochs": 1, "sampling": sampling, **settings}
    collector = Collector(
        policy,
        reference=None if policy.adapts else (reference or policy.frozen_copy()),
        engine=LocalEngine(engine or policy),
        reward=FunctionReward(reward),
        prompts=prompt_ids(records),
        records=records,
        config=RolloutConfig.model_validate(config),
        microbatch_tokens=tokens,
        seed=Seed(seed),
    )
    return RolloutSource(
        collector,
        needs=PPO().needs,
        pretraining=items_of(demonstrations(pretraining)) if pretraining else [],
    )


def rollouts(step: Step) -> list[RolloutBatch]:
    return [b for b in step.microbatches if isinstance(b, RolloutBatch) and not b.pretraining.any()]


def mixed_in(step: Step) -> list[RolloutBatch]:
    return [b for b in step.microbatches if isinstance(b, RolloutBatch) and b.pretraining.any()]


def column(step: Step, name: str) -> Tensor:
    return torch.cat([getattr(batch, name) for batch in rollouts(step)])


def replies(step: Step) -> list[tuple[tuple[int, ...], Tensor]]:
    """Tokens and advantages of every sampled reply."""
    found: list[tuple[tuple[int, ...], Tensor]] = []
    for batch in rollouts(step):
        packed = batch.packed
        for sequence in range(packed.sequences):
            own = packed.row_sequence == sequence
            found.append((tuple(packed.targets[own].tolist()), batch.advantages[own]))
    return found


def reported(step: Step) -> dict[str, float]:
    return {name: mean.value for name, mean in step.metrics.items()}
