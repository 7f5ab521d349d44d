"""What Fairlead's sides share: settings, fixed batches, halts between turns, recorded replies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.turns import Asked, Turns
from benchmarks.work import LEARNING_RATE, MAX_GRAD_NORM, Pair, worth
from fairlead.core.seeds import Seed
from fairlead.data.batches import microbatches
from fairlead.data.chat import Ids, Item
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Engine, Rollout, Sampling
from fairlead.models.policy import Policy, RewardModel
from fairlead.objectives.base import Objective
from fairlead.objectives.batch import Batch
from fairlead.records import Prompt
from fairlead.rewards.base import Reply, Scored
from fairlead.training.collecting import Collector
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.rollout_config import RolloutConfig
from fairlead.training.rollouts import RolloutSource
from fairlead.training.source import DatasetSource, Ranks, Source, Step

ENDLESS = 10_000


def settings() -> TrainConfig:
    """The peer's settings; all else as Fairlead ships it."""
    return TrainConfig(
        epochs=ENDLESS,
        learning_rate=LEARNING_RATE,
        schedule="constant",
        warmup=0.0,
        betas=(0.9, 0.999),
        max_grad_norm=MAX_GRAD_NORM,
        checkpoint_every=ENDLESS * ENDLESS,
    )


def item(pair: Pair, number: int) -> Item:
    """A comparison, as tokens."""
    return Item(tuple(pair.prompt), (tuple(pair.chosen), tuple(pair.rejected)), (0, 1), number)


@dataclass(frozen=True, kw_only=True)
class Fixed(DatasetSource):
    """The same batches in the same order, over and over."""

    batches: Sequence[Sequence[Item]]

    def step(self, index: int, ranks: Ranks) -> Step:
        chosen = self.batches[index % len(self.batches)]
        return Step([self.collate(group) for group in microbatches(chosen, self.microbatch_tokens)])


def fixed(batches: Sequence[Sequence[Item]], collate: Callable[[Sequence[Item]], Batch]) -> Fixed:
    """A source of these batches."""
    items = [item for batch in batches for item in batch]
    tokens = settings().microbatch_tokens
    return Fixed(items, collate, len(batches[0]), ENDLESS, tokens, Seed(0), batches=batches)


class Halting:
    """A source that halts between turns and notes what every step gave.

    Making a step (sampling and scoring, where there is any) counts as the part "making".
    """

    def __init__(self, source: Source, turns: Turns) -> None:
        self.source = source
        self.turns = turns

    def step(self, index: int, ranks: Ranks) -> Step:
        self.turns.border(index)
        with self.turns.part("making"):
            return self.source.step(index, ranks)

    def observe(self, metrics: dict[str, float]) -> None:
        self.turns.step(loss=metrics["loss/total"], gradient_norm=metrics["train/gradient_norm"])
        self.source.observe(metrics)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


def run(
    model: Policy | RewardModel, objective: Objective, source: Source, turns: Turns, asked: Asked
) -> None:
    """Trains until told to stop."""
    halting: Any = Halting(source, turns)
    train(model, objective, halting, settings(), seed=Seed(0), run_dir=asked.scratch / "run")


class Recorded:
    """Gives known replies: in the first rollout batch, or in every one where there is no engine."""

    def __init__(
        self, replies: dict[Ids, Sequence[Ids]], turns: Turns, engine: Engine | None = None
    ):
        self.replies = replies
        self.turns = turns
        self.engine = engine
        self.used = False

    def sample(
        self, prompts: Sequence[Ids], sampling: Sampling, *, n: int, seed: Seed
    ) -> list[Rollout]:
        if self.engine is not None and self.used:
            return self._sampled(self.engine, prompts, sampling, n, seed)
        self.used = True
        return [
            Rollout(i, k, prompt, reply, (0.0,) * len(reply), "eos")
            for i, prompt in enumerate(prompts)
            for k, reply in enumerate(self.replies[prompt])
        ]

    def _sampled(
        self, engine: Engine, prompts: Sequence[Ids], sampling: Sampling, n: int, seed: Seed
    ) -> list[Rollout]:
        with self.turns.part("sampling"):
            rollouts = engine.sample(prompts, sampling, n=n, seed=seed)
        self.turns.lengths.append([len(rollout.tokens) for rollout in rollouts])
        return rollouts


class Worth:
    """The reward: what `work.worth` says of a reply's tokens."""

    name = "worth"

    def score(self, replies: Sequence[Reply]) -> Scored:
        return Scored(torch.tensor([worth(reply.response_ids) for reply in replies]))


def rollouts(
    policy: Policy,
    reference: Policy | None,
    objective: Objective,
    replies: dict[Ids, Sequence[Ids]],
    config: dict[str, Any],
    turns: Turns,
    *,
    samples_later: bool,
) -> RolloutSource:
    """Rollout batches of these prompts: known replies first, and sampled ones later if wanted."""
    collector = Collector(
        policy,
        reference=reference,
        engine=Recorded(replies, turns, LocalEngine(policy) if samples_later else None),
        reward=Worth(),
        prompts=list(enumerate(replies)),
        records=[Prompt.of("as tokens")] * len(replies),
        config=RolloutConfig(
            prompts=len(replies),
            iterations=ENDLESS,
            missing_eos_penalty=0.0,
            sampler_gap=1e6,  # replies that are given have no log-probabilities of a sampler
            **config,
        ),
        microbatch_tokens=settings().microbatch_tokens,
        seed=Seed(0),
    )
    return RolloutSource(collector, needs=objective.needs)
