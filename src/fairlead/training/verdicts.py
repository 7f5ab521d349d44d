"""The source of a verifier's steps: its own verdicts, and what it says with the solution at hand.

Self-trained verification: Wu and Raghunathan 2026, arXiv:2605.30290.
"""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fairlead.core.clock import Part, section
from fairlead.core.errors import DataError
from fairlead.core.metrics import Mean
from fairlead.core.seeds import Seed
from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import ChatFormat, Ids, Item
from fairlead.generation.sampling import Engine, Rollout, Sampling
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need
from fairlead.objectives.batch import DistillationBatch
from fairlead.training.config import TrainConfig
from fairlead.training.source import ENDLESS, Ranks, Step


@dataclass(frozen=True)
class VerdictContext:
    """An attempt to be judged, as two prompts."""

    student: Ids
    """Without the reference solution."""
    teacher: Ids
    """With it."""
    right: bool
    """Whether the attempt is right."""


class VerdictSource:
    """Samples verdicts from the verifier in training; the teacher is the same policy, told more.

    Every step has as many right attempts as wrong ones, so that accepting everything gains
    nothing. Credit is a verdict's reward minus the mean over the verdicts on the same attempt.

    Args:
        policy: the verifier in training.
        engine: samples with its present weights.
        contexts: attempts to judge, right and wrong ones.
        reward: worth of a verdict, given the context's index and the text.
        samples: verdicts per attempt; at least 2.
        sampling: how verdicts are sampled.
        config: settings of the loop; a step judges `batch_size` attempts.
        seed: of the choice of attempts and of sampling.

    Raises:
        DataError: all attempts are right, or all are wrong.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        engine: Engine,
        contexts: Sequence[VerdictContext],
        reward: Callable[[int, str], float],
        samples: int,
        sampling: Sampling,
        config: TrainConfig,
        seed: Seed,
    ) -> None:
        self.policy = policy
        self.engine = engine
        self.contexts = contexts
        self.reward = reward
        self.samples = samples
        self.sampling = sampling
        self.config = config
        self.seed = seed
        self.chat = ChatFormat(policy.tokenizer)
        self.pools = [[i for i, c in enumerate(contexts) if c.right == right] for right in (1, 0)]
        if not all(self.pools):
            raise DataError(
                "a verifier learns nothing from attempts that are all right or all wrong",
                expected="right and wrong attempts",
                got=f"{len(self.pools[0])} right, {len(self.pools[1])} wrong",
                remedy="take harder or easier problems, or another generator",
            )

    @property
    def steps(self) -> int:
        """Optimizer steps: the loop's, or what its epochs over all attempts give."""
        if self.config.max_token_passes is not None:
            return self.config.max_steps or ENDLESS
        whole = -(-len(self.contexts) // self.config.batch_size) * self.config.epochs
        return self.config.max_steps or whole

    @property
    def finished(self) -> bool:
        """Never before its last step."""
        return False

    def observe(self, metrics: dict[str, float]) -> None:
        """Nothing."""

    def between(self, index: int) -> bool:
        """Always: nothing is carried from step to step."""
        return True

    def state(self) -> dict[str, Any]:
        """Nothing: all follows from the seed and the weights."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""

    def step(self, index: int, ranks: Ranks) -> Step:
        """Samples verdicts, and has the teacher say what it would have said."""
        mine = ranks.share(self._chosen(index))
        with section(Part.GENERATE):
            rollouts = self.engine.sample(
                [self.contexts[i].student for i in mine],
                self.sampling,
                n=self.samples,
                seed=self.seed.child("sample", index, ranks.index),
            )
        rewards = torch.tensor(
            [self.reward(mine[r.prompt_index], self.chat.text(r.tokens)) for r in rollouts]
        ).reshape(len(mine), self.samples)
        items = _items([self.contexts[i].student for i in mine], rollouts)
        credit = rewards - rewards.mean(1, keepdim=True)
        groups = microbatches(items, self.config.microbatch_tokens)
        batches = [self._batch(group, mine, credit) for group in groups]
        lengths = torch.tensor([float(len(r.tokens)) for r in rollouts])
        ended = torch.tensor([r.finish == "eos" for r in rollouts])
        metrics = {
            "reward/score": Mean(rewards.sum(), rewards.numel()),
            "rollout/length": Mean(lengths.sum(), len(rollouts)),
            "rollout/eos_rate": Mean(ended.sum(), len(rollouts)),
        }
        return Step(batches, metrics, passes=2 * sum(item.tokens for item in items))

    def _chosen(self, index: int) -> list[int]:
        """Attempts of a step, right and wrong ones in turn."""
        random = self.seed.child("choice", index).numpy()
        size = self.config.batch_size
        halves = [
            random.choice(pool, size=count, replace=count > len(pool)).tolist()
            for pool, count in zip(self.pools, (size - size // 2, size // 2), strict=True)
        ]
        return [*halves[0], *halves[1]]

    @torch.no_grad()
    def _batch(self, group: Sequence[Item], mine: Sequence[int], credit: Tensor) -> Any:
        """The student's verdicts with the teacher's distribution at each of their tokens."""
        temperature = self.sampling.temperature or 1.0
        told = [
            Item(self.contexts[mine[i.record]].teacher, i.responses, i.ranks, i.record)
            for i in group
        ]
        seen = pack(told, temperature=temperature).to(self.policy.device)
        teacher = self.policy(seen, frozenset({Need.DISTRIBUTION})).distribution
        rows = [
            credit[item.record, k].expand(len(response))
            for item in group
            for k, response in enumerate(item.responses)
        ]
        packed = pack(group, temperature=temperature)
        return DistillationBatch(packed, teacher.cpu(), torch.cat(rows))


def _items(prompts: Sequence[Ids], rollouts: Sequence[Rollout]) -> list[Item]:
    """One item per prompt with its replies, numbered by its place."""
    replies: list[list[Ids]] = [[] for _ in prompts]
    for rollout in rollouts:
        replies[rollout.prompt_index].append(rollout.tokens)
    return [
        Item(prompt, tuple(own), (0,) * len(own), place)
        for place, (prompt, own) in enumerate(zip(prompts, replies, strict=True))
    ]
