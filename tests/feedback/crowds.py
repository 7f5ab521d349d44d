"""Simulated crowds for the tests of quality: honest people of all sorts, and planted ones."""

from dataclasses import dataclass, field

import numpy as np

from fairlead.core.seeds import Seed
from fairlead.feedback.tables import LabelTable, table_of


@dataclass
class Crowd:
    """Pairwise answers of honest people to items of differing difficulty, with ties and times."""

    seed: Seed
    honest: int = 30
    items: int = 300
    per_person: int = 150
    planted: tuple[str, ...] = ()
    spread: float = 0.5
    """Spread of skill between people, in logits."""
    skill: float = 1.8
    """Typical skill in logits of being right on an item of middling difficulty."""
    difficulty: float = 1.0
    """Spread of difficulty between items, in logits."""
    lean: float = 0.1
    """Spread of honest people's leaning to the left, in logits."""
    ties: float = 0.08
    ai: float = 0.8
    """Accuracy of the model whose suggestion is shown."""
    anchored: float = 0.1
    """Chance that an honest person takes the suggestion where in doubt."""
    names: list[str] = field(default_factory=list)

    def table(self, known: tuple[str, ...] = ("left", "seconds", "words", "when", "suggestion")):
        """The crowd's answers with those columns."""
        rng = self.seed.numpy()
        truth = rng.integers(2, size=self.items)
        hard = rng.normal(0, self.difficulty, self.items)
        suggestion = np.where(rng.random(self.items) < self.ai, truth, 1 - truth)
        words = rng.integers(60, 300, self.items)
        people = self.honest + len(self.planted)
        self.names = [f"p{i:02d}" for i in rng.permutation(people)]
        kinds = ["none"] * self.honest + list(self.planted)
        columns: dict[str, list] = {
            k: [] for k in ("item", "annotator", "label", "left", "seconds", "words", "when")
        }
        columns["suggestion"] = []
        answers: list[dict[int, tuple[int, float]]] = []
        for kind, name in zip(kinds, self.names, strict=True):
            own = rng.permutation(self.items)[: self.per_person]
            if kind == "copying":
                own = np.array(list(answers[0]))
            left = rng.permutation(np.arange(len(own)) % 2)
            skill = self.skill + rng.normal(0, self.spread)
            lean = rng.normal(0, self.lean)
            pace = np.exp(rng.normal(0, 0.4))
            answers.append({})
            for i, side in zip(own.tolist(), left.tolist(), strict=True):
                right = 1 / (1 + np.exp(-(skill - hard[i] + lean * (1 if side == truth[i] else -1))))
                label = truth[i] if rng.random() < right else 1 - truth[i]
                if rng.random() < self.anchored * (1 - abs(2 * right - 1)):
                    label = suggestion[i]
                if rng.random() < self.ties * 2 * (1 - right):
                    label = 2
                seconds = pace * (3 + words[i] / 6) * np.exp(rng.normal(0, 0.5))
                moment = rng.uniform(0, 1e5)
                match kind:
                    case "random":
                        label = rng.integers(2)
                    case "inverted":
                        label = 1 - label if label < 2 else 2
                    case "position":
                        label = side if rng.random() < 0.85 else label
                    case "copying":
                        before = answers[0][i]
                        label = before[0] if rng.random() < 0.95 else label
                        moment = before[1] + rng.uniform(60, 600)
                    case "fast":
                        label, seconds = rng.integers(2), 0.3 * np.exp(rng.normal(0, 0.2))
                    case "suggestion":
                        label = suggestion[i] if rng.random() < 0.95 else label
                    case "straight":
                        label = 2 if rng.random() < 0.97 else label
                answers[-1][i] = (int(label), moment)
                for key, value in (
                    ("item", f"i{i}"),
                    ("annotator", name),
                    ("label", "ab"[label] if label < 2 else "tie"),
                    ("left", "ab"[side]),
                    ("seconds", seconds),
                    ("words", int(words[i])),
                    ("when", moment),
                    ("suggestion", "ab"[suggestion[i]]),
                ):
                    columns[key].append(value)
        kept = {k: v for k, v in columns.items() if k in ("item", "annotator", "label", *known)}
        return table_of(**kept)

    def planted_names(self) -> dict[str, str]:
        """Kind of every planted person."""
        return dict(zip(self.names[self.honest :], self.planted, strict=True))


def honest_table(seed: Seed, **settings: object) -> LabelTable:
    """An honest crowd's answers."""
    return Crowd(seed, **settings).table()  # type: ignore[arg-type]
