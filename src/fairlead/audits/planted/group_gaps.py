"""A group whose taste is another than that of the people who were asked most."""

from fairlead.audits.group_gaps import GroupGaps
from fairlead.audits.planted import world
from fairlead.audits.planted.cases import Case, case
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed

PAIRS = 400
PEOPLE = 120
EACH = 5
MARGIN = 0.1
"""Twice the default, or clean runs would take four times as many choices to pass."""


def _finding(seed: Seed, differing: float) -> Finding:
    """A fifth of the people are a group that chooses against quality with a given chance."""
    random = seed.child("data").numpy()
    items = world.pairs(PAIRS, random)
    rows = []
    for pair in items:
        for person in random.permutation(PEOPLE)[:EACH].tolist():
            small = person % 5 == 0
            against = small and random.random() < differing
            chance = 1 - pair.chance if against else pair.chance
            columns = {"annotator": f"p{person}", "group": "small" if small else "large"}
            rows.append(pair.row(bool(random.random() < chance), **columns))
    with world.stored(data=rows) as places:
        subject = world.subject(seed, proxy=world.reward(seed.child("reward")))
        return GroupGaps(data=places["data"], margin=MARGIN).run(subject)


case(
    Case(
        name="a group left out",
        audit="group_gaps",
        planted=lambda seed: _finding(seed, 0.5),
        clean=lambda seed: _finding(seed, 0.0),
    )
)
