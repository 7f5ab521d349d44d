"""Practice of a copy on checked answers: GRPO with an exact-match reward."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from fairlead.audits.retraining.watching import Look, Watched
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, encode_prompts
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import Lora
from fairlead.models.policy import Policy
from fairlead.objectives.grpo import GRPO
from fairlead.records import Problem
from fairlead.rewards.verifiers import ExactChecker
from fairlead.rewards.verifiers.reward import VerifierReward
from fairlead.training.collecting import Collector
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.rollout_config import RolloutConfig
from fairlead.training.rollouts import RolloutSource


class Practice(BaseModel):
    """How a copy is trained by reinforcement."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt = Field(default=100, le=10_000)
    """Rollout batches, each with one update."""
    samples: PositiveInt = Field(default=8, ge=2)
    """Replies per question and step."""
    learning_rate: PositiveFloat = 1e-5
    """Highest rate."""
    max_new_tokens: PositiveInt = 8
    """Longest reply: the answer and its end."""
    lora: Lora | None = Lora()
    """Train adapters; null trains all weights."""
    microbatch_tokens: PositiveInt = 2048
    """Tokens computed at once, the memory knob."""


def practised(
    policy: Policy,
    problems: Sequence[Problem],
    settings: Practice,
    seed: Seed,
    *,
    look: Look,
    at: tuple[int, ...],
) -> None:
    """Trains a policy in place on problems whose answer must be met letter for letter.

    Args:
        policy: a copy, see `copy_of`.
        problems: all of them are answered at every step.
        settings: how long and how fast.
        seed: of the sampling.
        look: called with the steps done, before the steps in `at` and after the last.
        at: steps before which to look.

    Raises:
        DataError: a problem leaves no room for an answer.
        TrainingError: a self-check of the loop failed.
    """
    room = policy.context - settings.max_new_tokens
    prompts = [problem.prompt for problem in problems]
    asked, _ = encode_prompts(prompts, ChatFormat(policy.tokenizer), max_length=room)
    rollouts = RolloutConfig.model_validate(
        GRPO.rollouts
        | {
            "prompts": len(asked),
            "samples": settings.samples,
            "iterations": settings.steps,
            "sampling": Sampling(max_new_tokens=settings.max_new_tokens),
            "missing_eos_penalty": 0.0,
        }
    )
    collector = Collector(
        policy,
        reference=None if policy.adapts else policy.frozen_copy(),
        engine=LocalEngine(policy),
        reward=VerifierReward(ExactChecker(ignore_case=True), workers=1),
        prompts=asked,
        records=problems,
        config=rollouts,
        microbatch_tokens=settings.microbatch_tokens,
        seed=seed.child("rollouts"),
    )
    objective = GRPO()
    source = Watched(RolloutSource(collector, needs=objective.needs), look, at)
    config = TrainConfig(
        learning_rate=settings.learning_rate, microbatch_tokens=settings.microbatch_tokens
    )
    with tempfile.TemporaryDirectory() as folder:
        train(
            policy,
            objective,
            source,
            config,
            seed=seed,
            run_dir=Path(folder),
            require_eos=False,
        )
    if settings.steps in at:
        look(settings.steps)
