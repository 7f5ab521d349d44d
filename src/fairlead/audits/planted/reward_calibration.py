"""A reward that is surer than it is right."""

from fairlead.audits.planted import world
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.reward_calibration import RewardCalibration
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward

PAIRS = 1000
MARGIN, ERROR_MARGIN = 0.08, 0.04
"""Wider than the defaults, or clean runs would take thousands of pairs to pass."""


def _finding(seed: Seed, scale: float) -> Finding:
    """People choose with log-odds in quality; the reward states those, times a scale."""
    random = seed.child("data").numpy()
    items = world.pairs(PAIRS, random)
    first = world.labelled(items, random)
    rows = [pair.row(own) for pair, own in zip(items, first, strict=True)]
    source = FunctionReward(_stated(scale), "scripted")
    with world.stored(data=rows) as places:
        subject = world.subject(seed, proxy=source)
        return RewardCalibration(data=places["data"], margin=MARGIN, error_margin=ERROR_MARGIN).run(
            subject
        )


def _stated(scale: float):
    def score(prompt: Prompt, text: str) -> float:
        return scale * world.SHARPNESS * world.quality_of(text)

    return score


case(
    Case(
        name="over-confident reward",
        audit="reward_calibration",
        planted=lambda seed: _finding(seed, 3.0),
        clean=lambda seed: _finding(seed, 1.0),
    )
)
