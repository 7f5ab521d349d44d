"""What changes from one version of a constitution to the next, and which labels it touches."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from fairlead.constitution.principles import Constitution, Principle
from fairlead.records import Comparison, Critique, Record

MEANING = {
    "text": "comparisons and revisions",
    "comparison_question": "comparisons",
    "critique_request": "revisions",
    "revision_request": "revisions",
    "weight": "how often it is drawn",
    "applies_to": "which prompts it is drawn for",
    "rationale": "nothing",
}
"""What each field of a principle decides."""


class Change(Record):
    """What became of one principle."""

    id: str
    kind: Literal["added", "removed", "changed"]
    fields: tuple[str, ...] = ()
    """Fields that differ, where it changed."""

    def __str__(self) -> str:
        if self.kind != "changed":
            return f"{self.kind}: {self.id}"
        said = (f"{field} (decides {MEANING[field]})" for field in self.fields)
        return f"changed: {self.id}: {', '.join(said)}"


def changes(old: Constitution, new: Constitution) -> list[Change]:
    """Principles that were added, removed or changed, by their ids; in the order of `new`."""
    kept = [
        Change(id=p.id, kind="changed", fields=fields) if before else Change(id=p.id, kind="added")
        for p in new.principles
        if not (before := old.principle(p.id)) or (fields := _differing(before, p))
    ]
    gone = [Change(id=p.id, kind="removed") for p in old.principles if not new.principle(p.id)]
    return [*kept, *gone]


def _differing(a: Principle, b: Principle) -> tuple[str, ...]:
    names = (name for name in Principle.model_fields if name != "id")
    return tuple(name for name in names if getattr(a, name) != getattr(b, name))


class Touched(Record):
    """Labels that a new version makes anew, and those that stay."""

    stay: int
    by_principle: dict[str, int] = Field(default_factory=dict)
    """Labels to make anew, by the principle they were made under."""
    foreign: int = 0
    """Records that no principle decided: labels by people, or of another origin."""

    @property
    def anew(self) -> int:
        """Labels to make anew."""
        return sum(self.by_principle.values())


def touched(labels: Sequence[Record], new: Constitution) -> Touched:
    """Which labels would not be made under the same words by `new`."""
    anew: Counter[str] = Counter()
    stay = foreign = 0
    for label in labels:
        made = made_under(label)
        if made is None:
            foreign += 1
        elif is_current(label, new):
            stay += 1
        else:
            anew[made] += 1
    return Touched(stay=stay, by_principle=dict(anew), foreign=foreign)


def is_current(label: Record, constitution: Constitution) -> bool:
    """Whether a constitution would have a label made as it was made.

    A comparison must fall to the same principle in the same words; a critique's principle must
    have the same words still.
    """
    made = label.provenance if isinstance(label, Comparison | Critique) else None
    if made is None or made.principle is None:
        return False
    if isinstance(label, Comparison):
        drawn = constitution.draw(label.prompt, *sorted((label.chosen, label.rejected)))
        if drawn is None or drawn.id != made.principle:
            return False
        return drawn.comparison_hash == made.wording
    return constitution.critique_hashes.get(made.principle) == made.wording


def made_under(label: Record) -> str | None:
    """Id of the principle that decided a label; None for labels of another origin."""
    made = label.provenance if isinstance(label, Comparison | Critique) else None
    return made.principle if made is not None else None


def lines(old: Constitution, new: Constitution, labels: Sequence[Record] | None) -> Iterator[str]:
    """The difference in words, for people."""
    found = changes(old, new)
    yield f"{old.name} {old.version} ({old.hash}) -> {new.name} {new.version} ({new.hash})"
    yield from map(str, found) if found else ["no principle differs"]
    if old.examples != new.examples:
        yield "the examples differ (they decide revisions)"
    if old.seed != new.seed:
        yield "the seed differs (every item is drawn anew)"
    if labels is None:
        return
    seen = touched(labels, new)
    yield f"{seen.anew} labels would be made anew, {seen.stay} stay"
    for id, count in sorted(seen.by_principle.items()):
        yield f"  {id}: {count}"
    if seen.foreign:
        yield f"{seen.foreign} records were decided by no principle and stay"
