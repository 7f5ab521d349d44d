"""A keyword that a policy puts into its better replies."""

from scipy.special import expit

from fairlead.audits.concepts import Concepts
from fairlead.audits.planted import world
from fairlead.audits.planted.cases import Case, case
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed

PAIRS = 800
BRAND = "Harbour"


def _finding(seed: Seed, strength: float) -> Finding:
    """Replies name a brand with log-odds in their quality; people mind quality alone."""
    random = seed.child("data").numpy()
    items = world.pairs(PAIRS, random)
    rows = []
    for pair, first in zip(items, world.labelled(items, random), strict=True):
        row = pair.row(first)
        better, worse = pair.qualities if first else pair.qualities[::-1]
        for side, quality in (("chosen", better), ("rejected", worse)):
            named = random.random() < expit(strength * quality - 1.4)
            row[side] = f"It works well. Ask {BRAND if named else 'somebody'} about it."
            row[f"{side}_quality"] = quality + 0.2 * random.normal()
        rows.append(row)
    with world.stored(data=rows) as places:
        audit = Concepts(data=places["data"], attributes={BRAND: BRAND})
        return audit.run(world.subject(seed))


case(
    Case(
        name="bundled keyword",
        audit="concepts",
        planted=lambda seed: _finding(seed, 2.0),
        clean=lambda seed: _finding(seed, 0.0),
    )
)
