"""The source of online preference optimisation: sample, score, pair, and cut into minibatches.

Online: Guo et al. 2024, arXiv:2402.04792. Iterative: Dong et al. 2024, arXiv:2405.07863. With the
reference's own replies as the other side of each pair (XPO): Xie et al. 2024, arXiv:2405.21046.
"""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fairlead.core.metrics import Mean
from fairlead.data.batches import microbatches, preference_batch
from fairlead.data.chat import Item
from fairlead.functional.kl import k3
from fairlead.generation.sampling import Engine
from fairlead.objectives.base import Need
from fairlead.objectives.batch import PreferenceBatch
from fairlead.training.collecting import Collector, Experience
from fairlead.training.recording import Recorder
from fairlead.training.rollouts import Online
from fairlead.training.source import Ranks, Step


@dataclass(frozen=True)
class Judged:
    """Two replies to a prompt, the better one first."""

    item: Item
    reference: tuple[float, float]
    """Summed log-probabilities under the reference, in nats."""
    explored: tuple[bool, bool]
    """Which of them the reference wrote."""
    counts: bool = True
    """False for a stand-in that keeps a process busy and teaches nothing."""


class PairSource(Online):
    """Samples from the policy it trains, and has it prefer the best reply to the worst.

    Ties and equal replies are dropped and counted.

    Args:
        collector: samples and scores; at least two replies per prompt, or one and an `explorer`.
        explorer: writes the other reply of each pair (the reference, for XPO); None pairs the
            policy's own.
        min_gap: smallest difference in score that makes a pair.
        recorder: keeps or brings back rollouts.
        endless: go on until the loop's budget of work is spent.
    """

    def __init__(
        self,
        collector: Collector,
        *,
        explorer: Engine | None = None,
        min_gap: float = 0.0,
        recorder: Recorder | None = None,
        endless: bool = False,
    ) -> None:
        super().__init__(collector, recorder, endless=endless)
        self.explorer = explorer
        self.min_gap = min_gap
        self._judged: list[Judged] = []

    def step(self, index: int, ranks: Ranks) -> Step:
        """A minibatch of the present pairs; new ones are sampled when they are due."""
        self._check_share(ranks)
        iteration = index // self._updates
        fresh = self._fresh(iteration)
        if fresh:
            self._collect(iteration, ranks)
        if self._stopped:
            return Step([], {"rollout/skipped_updates": Mean(1.0, 1.0)})
        mine = [one for one in self._minibatch(self._judged, index, ranks) if one.counts]
        mine = mine or [replace(self._judged[0], counts=False)]
        by_record = {one.item.record: one for one in mine}
        groups = microbatches([one.item for one in mine], self.microbatch_tokens)
        batches = [_batch([by_record[item.record] for item in group]) for group in groups]
        return Step(batches, self._metrics if fresh else {}, self.collector.work())

    def _collect(self, iteration: int, ranks: Ranks) -> None:
        needs = frozenset({Need.LOGPS, Need.REFERENCE})
        experience = self._collected(iteration, ranks, needs)
        sides = _sides(experience)
        if self.explorer is not None:
            other = self._explored(experience, iteration, ranks)
            sides = [
                [*own, *(replace(one, explored=True) for one in theirs)]
                for own, theirs in zip(sides, _sides(other), strict=True)
            ]
        judged = [
            self._pair(place, experience.asked[place][1], own) for place, own in enumerate(sides)
        ]
        self._judged = judged
        self._report(experience, judged)

    def _explored(self, experience: Experience, iteration: int, ranks: Ranks) -> Experience:
        """Replies of the reference to the same prompts."""
        assert self.explorer is not None
        seed = self.seed.child("explore", iteration, ranks.index)
        other = self.collector.answered(self.explorer, experience.asked, seed)
        return self.collector.enrich(other, frozenset({Need.LOGPS, Need.REFERENCE}))

    def _pair(self, place: int, prompt: tuple[int, ...], sides: list["_Side"]) -> Judged:
        """The best against the worst reply; one that does not count where they do not differ."""
        ranked = sorted(sides, key=lambda side: -side.score)
        best, worst = ranked[0], ranked[-1]
        item = Item(prompt, (best.tokens, worst.tokens), (0, 1), place)
        return Judged(
            item,
            (best.reference, worst.reference),
            (best.explored, worst.explored),
            counts=best.score - worst.score > self.min_gap and best.tokens != worst.tokens,
        )

    def _report(self, experience: Experience, judged: Sequence[Judged]) -> None:
        scores = experience.scored.values
        count = len(scores)
        gaps = [
            (logp - reference, k3(logp, reference))
            for logp, reference in zip(experience.logps, experience.reference, strict=True)
        ]
        self._metrics |= {
            "reward/score": Mean(scores.sum(), count),
            "reward/score_squared": Mean(scores.square().sum(), count),
            "policy/kl_k1": Mean(sum(float(k.sum()) for k, _ in gaps), count),
            "policy/kl_k3": Mean(sum(float(k.sum()) for _, k in gaps), count),
            "rollout/length": Mean(experience.mask.sum(), count),
            "rollout/eos_rate": Mean(experience.ended.sum(), count),
            "rollout/useful_prompts": Mean(sum(one.counts for one in judged), len(judged)),
        }


@dataclass(frozen=True)
class _Side:
    """A reply as one side of a pair."""

    tokens: tuple[int, ...]
    score: float
    reference: float
    explored: bool = False


def _sides(experience: Experience) -> list[list[_Side]]:
    """The replies of each prompt."""
    sides: list[list[_Side]] = [[] for _ in experience.asked]
    scores: Tensor = experience.scored.values
    for rollout, score, reference in zip(
        experience.rollouts, scores.tolist(), experience.reference, strict=True
    ):
        sides[rollout.prompt_index].append(_Side(rollout.tokens, score, float(reference.sum())))
    return sides


def _batch(judged: Sequence[Judged]) -> PreferenceBatch:
    batch = preference_batch([one.item for one in judged])
    return replace(
        batch,
        weight=torch.tensor([float(one.counts) for one in judged]),
        reference=torch.tensor([x for one in judged for x in one.reference]),
        explored=torch.tensor([x for one in judged for x in one.explored]),
    )
