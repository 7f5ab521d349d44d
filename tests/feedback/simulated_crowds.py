"""Simulated crowds for the tests of quality: honest people of all sorts, and planted ones."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fairlead.core.seeds import Seed
from fairlead.feedback.tables import LabelTable, table_of

KNOWN = ("left", "seconds", "words", "when", "suggestion")
LABELS = ("a", "b", "tie")
TIE = 2


@dataclass(frozen=True)
class Seen:
    """What a person has before them, and what they would say in earnest."""

    honest: int
    left: int
    suggested: int
    seconds: float
    when: float
    copied: tuple[int, float]
    """The first person's answer to the item and its moment."""


@dataclass
class Crowd:
    """Pairwise answers of honest people to items of differing difficulty, with ties and times."""

    seed: Seed
    honest: int = 30
    items: int = 300
    per_person: int = 200
    planted: tuple[str, ...] = ()
    skill: float = 1.8
    """Typical skill, in logits of being right on an item of middling difficulty."""
    spread: float = 0.5
    """Spread of skill between people, in logits."""
    difficulty: float = 1.0
    """Spread of difficulty between items, in logits."""
    lean: float = 0.1
    """Spread of honest people's leaning to the left, in logits."""
    ties: float = 0.08
    """Chance of a tie where a person has no idea."""
    model: float = 0.8
    """Accuracy of the suggestions."""
    anchored: float = 0.1
    """Chance that a person who has no idea takes the suggestion."""
    names: list[str] = field(default_factory=list)
    truth: list[int] = field(default_factory=list)

    def table(self, known: tuple[str, ...] = KNOWN) -> LabelTable:
        """The crowd's answers with those columns."""
        rng = self.seed.numpy()
        truth = rng.integers(2, size=self.items)
        hard = rng.normal(0, self.difficulty, self.items)
        suggested = np.where(rng.random(self.items) < self.model, truth, 1 - truth)
        words = rng.integers(60, 300, self.items)
        kinds = ["none"] * self.honest + list(self.planted)
        self.names = [f"p{i:02d}" for i in rng.permutation(len(kinds))]
        self.truth = truth.tolist()
        rows: list[dict[str, Any]] = []
        first: dict[int, tuple[int, float]] = {}
        for kind, name in zip(kinds, self.names, strict=True):
            own = list(first) if kind == "copying" else rng.permutation(self.items).tolist()
            own = own[: self.per_person]
            left = rng.permutation(np.arange(len(own)) % 2).tolist()
            skill = self.skill + rng.normal(0, self.spread)
            lean, pace = rng.normal(0, self.lean), np.exp(rng.normal(0, 0.4))
            for i, side in zip(own, left, strict=True):
                right = 1 / (1 + np.exp(hard[i] - skill - lean * (1 if side == truth[i] else -1)))
                seen = Seen(
                    honest=self._earnest(rng, right, truth[i], suggested[i]),
                    left=side,
                    suggested=int(suggested[i]),
                    seconds=pace * (3 + words[i] / 6) * np.exp(rng.normal(0, 0.5)),
                    when=rng.uniform(0, 1e5),
                    copied=first.get(i, (0, 0.0)),
                )
                label, seconds, when = acted(kind, seen, rng)
                if name == self.names[0]:
                    first[i] = (label, when)
                rows.append(
                    {
                        "item": f"i{i}",
                        "annotator": name,
                        "label": LABELS[label],
                        "left": LABELS[side],
                        "seconds": seconds,
                        "words": int(words[i]),
                        "when": when,
                        "suggestion": LABELS[suggested[i]],
                    }
                )
        names = ("item", "annotator", "label", *known)
        return table_of(**{name: [row[name] for row in rows] for name in names})

    def _earnest(self, rng: np.random.Generator, right: float, truth: int, suggested: int) -> int:
        doubt = 1 - abs(2 * right - 1)
        label = truth if rng.random() < right else 1 - truth
        if rng.random() < self.anchored * doubt:
            label = suggested
        return TIE if rng.random() < self.ties * doubt else int(label)

    def planted_names(self) -> dict[str, str]:
        """Kind of every planted person."""
        return dict(zip(self.names[self.honest :], self.planted, strict=True))


def acted(kind: str, seen: Seen, rng: np.random.Generator) -> tuple[int, float, float]:
    """Answer, time taken and moment of a person of this kind."""
    coin, often = int(rng.integers(2)), rng.random() < 0.95
    match kind:
        case "random":
            return coin, seen.seconds, seen.when
        case "inverted":
            return (TIE if seen.honest == TIE else 1 - seen.honest), seen.seconds, seen.when
        case "position":
            return (seen.left if rng.random() < 0.8 else seen.honest), seen.seconds, seen.when
        case "copying":
            label, before = seen.copied
            return (label if often else seen.honest), seen.seconds, before + rng.uniform(60, 600)
        case "fast":
            return coin, 0.3 * np.exp(rng.normal(0, 0.2)), seen.when
        case "suggestion":
            return (seen.suggested if often else seen.honest), seen.seconds, seen.when
        case "straight":
            return (TIE if often else seen.honest), seen.seconds, seen.when
    return seen.honest, seen.seconds, seen.when
