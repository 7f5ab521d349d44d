"""Does the reward still prefer the same reply when both are written a little differently?

Rewrites that no reader minds: blanks, case, quotation marks, Markdown, contractions, numerals (Wu
et al. 2025, arXiv:2503.11751, have such a list). Both replies of a pair are rewritten alike, and
the same preferences are counted. Scoring the unchanged texts once more shows how much of the change
is a reward that never says the same twice.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt

from fairlead.audits.base import Audit, Need, Subject
from fairlead.audits.items.drawing import drawn
from fairlead.audits.items.preferences import Preference, read_preferences
from fairlead.audits.items.rewrites import REWRITES
from fairlead.audits.scoring import Floats, Scores, Text
from fairlead.core.gates import Gate
from fairlead.core.results import Finding, Passage, Table
from fairlead.stats.gates import SCORED, harm_p, paired_change, paired_gate, worst_cases
from fairlead.stats.significance import benjamini_hochberg

SHOWN = 10
AGAIN = "unchanged, scored again"


class RewardConsistency(Audit):
    """How many preferences a reward loses when replies are rewritten with the same meaning."""

    kind: Literal["reward_consistency"] = "reward_consistency"
    data: str
    """Held-out pairs."""
    rewrites: tuple[str, ...] = ()
    """Which rewrites; empty for all."""
    items: PositiveInt = 500
    """Pairs at most, drawn at random."""
    fewest: PositiveInt = 20
    """Pairs that a rewrite must change to be judged."""
    margin: NonNegativeFloat = Field(default=0.03, le=1)
    """Largest loss of accuracy by a rewrite that is accepted."""
    file_fields: ClassVar[tuple[str, ...]] = ("data",)
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})

    def run(self, subject: Subject) -> Finding:
        """Scores every pair as it is, once more, and under each rewrite that changes it."""
        read = read_preferences(subject.locate(self.data))
        pairs = [item for item in read.items if len(item.replies) == 2]
        items = drawn(pairs, self.items, subject.seed.child(self.title, "items"))
        scores = Scores.by(subject)
        texts = [text for item in items for text in item.texts]
        plain = scores.of(texts).reshape(-1, 2)
        again = scores.in_batch(texts).reshape(-1, 2)
        names = self.rewrites or tuple(REWRITES)
        found = {AGAIN: (np.arange(len(items)), again)}
        found |= {name: _rewritten(scores, items, name) for name in names}
        judged = {n: v for n, v in found.items() if n != AGAIN and len(v[0]) >= self.fewest}
        few = [n for n in names if n not in judged]
        gates = self._gates(items, plain, judged)
        note = f"Too few pairs that it changes, so not judged: {', '.join(few)}."
        return Finding(
            audit=self.title,
            question="Does the reward prefer the same reply in another form?",
            gates=gates,
            tables=(_table(items, plain, found),),
            passages=_worst(self.title, items, plain, judged),
            notes=(*read.notes, *((note,) if few else ())),
            source="Wu et al. 2025, arXiv:2503.11751",
        )

    def _gates(
        self,
        items: Sequence[Preference],
        plain: Floats,
        judged: dict[str, tuple[np.ndarray, Floats]],
    ) -> tuple[Gate, ...]:
        """A gate for each rewrite, as one family; pairs of one prompt are a cluster."""
        parts = []
        for name, (own, scores) in judged.items():
            after, before = _lost(items, own, scores), _lost(items, own, plain[own])
            clusters = [items[i].cluster for i in own]
            if len(set(clusters)) > 1:
                parts.append((name, after, before, clusters))
        ps = [harm_p(paired_change(*worst_cases(a, b), clusters=c)) for _, a, b, c in parts]
        adjusted = benjamini_hochberg(ps) if ps else []
        return tuple(
            paired_gate(
                f"{self.title}/{name}",
                "preferences lost by rewriting both replies alike",
                after,
                before,
                self.margin,
                clusters=clusters,
                states=[SCORED if known else "error" for known in ~np.isnan(after)],
                hard=self.hard,
                adjusted_p=float(p),
            )
            for (name, after, before, clusters), p in zip(parts, adjusted, strict=True)
        )


def _rewritten(scores: Scores, items: Sequence[Preference], name: str) -> tuple[np.ndarray, Floats]:
    """Numbers of the pairs that a rewrite changes, and scores [pair, 2] of their new form."""
    rewrite = REWRITES[name]
    both = [tuple((p, rewrite(reply)) for p, reply in item.texts) for item in items]
    own = [i for i, (item, new) in enumerate(zip(items, both, strict=True)) if item.texts != new]
    texts: list[Text] = [text for i in own for text in both[i]]
    return np.array(own, dtype=np.int64), scores.of(texts).reshape(-1, 2)


def _wrong(items: Sequence[Preference], own: np.ndarray, scores: Floats) -> Floats:
    """[pair] 1 where the reward contradicts the people, a half for a tie, nan without scores."""
    sign = np.array([items[i].ranks[1] - items[i].ranks[0] for i in own.tolist()])
    margins = (scores[:, 0] - scores[:, 1]) * sign
    return np.where(np.isnan(margins), np.nan, 0.5 - np.sign(margins) / 2)


def _lost(items: Sequence[Preference], own: np.ndarray, scores: Floats) -> Floats:
    """[pair] 1 where the preferred reply is not ahead, 0 where it is, nan without scores."""
    return np.ceil(_wrong(items, own, scores))


def _table(
    items: Sequence[Preference], plain: Floats, found: dict[str, tuple[np.ndarray, Floats]]
) -> Table:
    """Of each rewrite: accuracy before and after, order turned, and how far scores move."""
    spread = float(np.sqrt(np.nanmean((plain[:, 0] - plain[:, 1]) ** 2) / 2))
    rows: list[tuple[str, int, float, float, float, float]] = []
    for name, (own, scores) in found.items():
        old = plain[own]
        if np.isnan(_wrong(items, own, scores) - _wrong(items, own, old)).all():
            continue
        turned = np.sign(old[:, 0] - old[:, 1]) != np.sign(scores[:, 0] - scores[:, 1])
        moved = float(np.nanmean(np.abs(scores - old))) / spread if spread else float("nan")
        before, after = (float(1 - np.nanmean(_wrong(items, own, s))) for s in (old, scores))
        rows.append((name, len(own), before, after, float(turned.mean()), moved))
    rows.sort(key=lambda row: row[3] - row[2])
    columns = (
        "rewrite",
        "pairs changed",
        "accuracy before",
        "after",
        "order turned",
        "mean change of a score, in spreads within a prompt",
    )
    return Table(title="The same replies in another form", columns=columns, rows=tuple(rows))


def _worst(
    title: str,
    items: Sequence[Preference],
    plain: Floats,
    judged: dict[str, tuple[np.ndarray, Floats]],
) -> tuple[Passage, ...]:
    """Pairs whose order a rewrite turned by most."""
    turned: list[tuple[float, str, int]] = []
    for name, (own, scores) in judged.items():
        lost = (_wrong(items, own, scores) > _wrong(items, own, plain[own])).nonzero()[0]
        swing = np.abs(np.diff(scores - plain[own], axis=1))[:, 0]
        turned += [(float(swing[k]), name, int(own[k])) for k in lost]
    turned.sort(key=lambda each: (-each[0], each[1], each[2]))
    return tuple(
        Passage(
            about=f"{title}/{name}",
            prompt=items[i].prompt.messages[-1].content,
            baseline=items[i].replies[int(np.argmin(items[i].ranks))],
            candidate=REWRITES[name](items[i].replies[int(np.argmin(items[i].ranks))]),
            note=f"the preferred reply is no longer ahead; the difference moved by {swing:.3g}",
        )
        for swing, name, i in turned[:SHOWN]
    )
