"""Labels that were flipped, and a reward whose scores depend on their batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairlead.audits.planted import world
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.reward_accuracy import RewardAccuracy
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.rewards.base import Reply, RewardSource, Scored

PAIRS = 600
FLIPPED = 0.35


def _finding(seed: Seed, *, flipped: float = 0.0, padded: bool = False) -> Finding:
    random = seed.child("data").numpy()
    items = world.pairs(PAIRS, random)
    first = world.labelled(items, random)
    rows = [
        pair.row(own ^ bool(i % 2 and random.random() < flipped), subset=("one", "other")[i % 2])
        for i, (pair, own) in enumerate(zip(items, first, strict=True))
    ]
    # Two people agree as often as both take the one reply or both the other.
    ceiling = float(np.mean([p.chance**2 + (1 - p.chance) ** 2 for p in items]))
    plain = world.reward(seed.child("reward"))
    source: RewardSource = _Padded(plain) if padded else plain
    with world.stored(data=rows) as places:
        subject = world.subject(seed, proxy=source)
        return RewardAccuracy(data=places["data"], ceiling=ceiling, alone=32).run(subject)


@dataclass(frozen=True)
class _Padded:
    """A reward that reads the padding of shorter replies as if it were text."""

    source: RewardSource

    @property
    def name(self) -> str:
        return "padded"

    def score(self, replies: Sequence[Reply]) -> Scored:
        longest = max(len(reply.text) for reply in replies)
        scored = self.source.score(replies)
        for i, reply in enumerate(replies):
            scored.values[i] += 0.1 * (longest - len(reply.text))
        return scored


case(
    Case(
        name="flipped labels",
        audit="reward_accuracy",
        planted=lambda seed: _finding(seed, flipped=FLIPPED),
        clean=_finding,
    )
)
case(
    Case(
        name="reward that depends on its batch",
        audit="reward_accuracy",
        planted=lambda seed: _finding(seed, padded=True),
        clean=_finding,
    )
)
