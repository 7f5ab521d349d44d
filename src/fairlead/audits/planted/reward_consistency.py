"""A reward that cannot read contractions."""

from fairlead.audits.planted import world
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.reward_consistency import RewardConsistency
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward

PAIRS = 200
MARGIN = 0.06
"""Twice the default, or clean runs would take twice as many pairs to pass."""


def _finding(seed: Seed, *, brittle: bool) -> Finding:
    random = seed.child("data").numpy()
    items = world.pairs(PAIRS, random)
    rows = [p.row(own) for p, own in zip(items, world.labelled(items, random), strict=True)]

    def score(prompt: Prompt, text: str) -> float:
        blind = brittle and "that's" in text
        read = 0.0 if blind else world.quality_of(text)
        return read + (0.5 if blind else 0.02) * world.noise(seed, prompt.messages[0].content, text)

    with world.stored(data=rows) as places:
        subject = world.subject(seed, proxy=FunctionReward(score, "scripted"))
        return RewardConsistency(data=places["data"], margin=MARGIN).run(subject)


case(
    Case(
        name="reward that stumbles over form",
        audit="reward_consistency",
        planted=lambda seed: _finding(seed, brittle=True),
        clean=lambda seed: _finding(seed, brittle=False),
    )
)
