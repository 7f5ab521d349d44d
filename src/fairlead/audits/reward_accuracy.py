"""Does the reward side with people as often as people do among themselves?

Every preference gives a credit from 0 to 1: whether the preferred reply scores higher, a tie half;
one best of several by 1 over the number of top scores (Malik et al. 2025, arXiv:2506.01937). The
harm is the distance to what people reach, not to 1. Preferences with one opening prompt are one
cluster. A few pairs are scored again one by one: a score that depends on what else is in its batch
belongs to nobody's reply.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from fairlead.audits.base import Audit, Need, Subject
from fairlead.audits.items.drawing import drawn
from fairlead.audits.items.preferences import Preference, read_preferences
from fairlead.audits.scoring import Floats, Scores, state_of
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.gates import LEVEL, Gate
from fairlead.core.results import Finding, Passage, Table
from fairlead.stats.arrays import CONFIDENCE
from fairlead.stats.gates import count_gate, gate, harm_p, unscored_of
from fairlead.stats.means import mean_estimate
from fairlead.stats.proportions import clustered_proportion
from fairlead.stats.reward_scores import credit, is_best_of, ties_score
from fairlead.stats.significance import benjamini_hochberg

SHOWN = 10
NOISE = 0.01
"""A score has changed if it moved by more than this share of the standard deviation of scores."""


class RewardAccuracy(Audit):
    """Distance of the reward's accuracy from people's own, for each subset of the data."""

    kind: Literal["reward_accuracy"] = "reward_accuracy"
    data: str
    """Held-out preferences. Rows may have a `subset`, a `cluster`, and ids such as `tied:7` and
    `ref:7` for prompts with several right answers and their twins with one."""
    ceiling: float | None = Field(default=None, gt=0, le=1)
    """Accuracy that a person reaches on these labels. None takes it from soft labels, as the
    accuracy of always siding with the majority, and 1 where labels are hard."""
    items: PositiveInt = 5000
    """Preferences at most, drawn at random."""
    margin: NonNegativeFloat = Field(default=0.05, le=1)
    """Largest distance below the ceiling that is accepted, in each subset."""
    alone: NonNegativeInt = 64
    """Preferences whose replies are also scored one by one; 0 leaves that out."""
    batch_margin: NonNegativeFloat = Field(default=0.05, le=1)
    """Largest share of replies whose score may depend on their batch."""
    file_fields: ClassVar[tuple[str, ...]] = ("data",)
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})

    def run(self, subject: Subject) -> Finding:
        """Scores all replies, some of them twice."""
        read = read_preferences(subject.locate(self.data), ("id",))
        items = drawn(read.items, self.items, subject.seed.child(self.title, "items"))
        scores = Scores.by(subject)
        each = _scored(scores, items)
        credits = np.array([_credit(own, item) for own, item in zip(each, items, strict=True)])
        ceilings = np.array([self._ceiling(item) for item in items])
        states = [state_of(scores, item) for item in items]
        gates = self._gates(items, credits, ceilings, states)
        return Finding(
            audit=self.title,
            question="Does the reward side with people as often as people do?",
            gates=(*gates, *self._batch_gate(scores, items, subject)),
            estimates=(
                accuracy(credits, items).named("accuracy"),
                mean_estimate(ceilings, clusters=[i.cluster for i in items]).named("ceiling"),
                *_ties(items, each),
            ),
            tables=_by_subset(items, credits, ceilings),
            passages=_worst(gates[0].name, items, each, credits),
            notes=(*read.notes, *self._notes(items)),
            source="Malik et al. 2025, arXiv:2506.01937; intervals clustered by prompt",
        )

    def _ceiling(self, item: Preference) -> float:
        if self.ceiling is not None:
            return self.ceiling
        return 1.0 if np.isnan(item.chosen) else max(item.chosen, 1 - item.chosen)

    def _gates(
        self,
        items: Sequence[Preference],
        credits: Floats,
        ceilings: Floats,
        states: Sequence[str],
    ) -> tuple[Gate, ...]:
        """One gate for each subset, as one family."""
        subsets = _subsets(items)
        changes = {
            name: _shortfall(ceilings[own], credits[own], _of(items, own))
            for name, own in subsets.items()
        }
        adjusted = benjamini_hochberg([harm_p(change) for change in changes.values()])
        return tuple(
            gate(
                f"{self.title}/{name or 'accuracy'}",
                "accuracy of people less accuracy of the reward",
                changes[name],
                self.margin,
                hard=self.hard,
                adjusted_p=float(p) if len(subsets) > 1 else None,
                candidate=accuracy(credits[own], _of(items, own)),
                items=len(own),
                unscored=unscored_of(states[i] for i in own),
            )
            for (name, own), p in zip(subsets.items(), adjusted, strict=True)
        )

    def _batch_gate(
        self, scores: Scores, items: Sequence[Preference], subject: Subject
    ) -> tuple[Gate, ...]:
        if not self.alone:
            return ()
        some = drawn(items, self.alone, subject.seed.child(self.title, "alone"))
        texts = list(dict.fromkeys(text for item in some for text in item.texts))
        together = scores.in_batch(texts)
        apart = np.concatenate([scores.in_batch([text]) for text in texts])
        spread = float(np.nanstd(together)) if np.isfinite(together).any() else 0.0
        moved = np.isnan(together) != np.isnan(apart)
        moved |= np.abs(together - apart) > NOISE * spread
        return (
            count_gate(
                f"{self.title}/same score alone as in a batch",
                "share of replies whose score depends on what else is in the batch",
                int(moved.sum()),
                len(texts),
                self.batch_margin,
                hard=self.hard,
            ),
        )

    def _notes(self, items: Sequence[Preference]) -> tuple[str, ...]:
        if self.ceiling is not None:
            return (f"The human ceiling of {self.ceiling:g} was stated, not measured here.",)
        if all(item.chosen in (0.0, 1.0) or np.isnan(item.chosen) for item in items):
            return (
                "No human ceiling was stated: accuracy is held against 1, so that every label on "
                "which people would disagree counts against the reward.",
            )
        return (
            "The ceiling is that of always siding with the majority, which few annotators an item "
            "overstate.",
        )


def accuracy(credits: Floats, items: Sequence[Preference], level: float = CONFIDENCE) -> Estimate:
    """Mean credit, clustered; a preference without a score has none."""
    known = np.nan_to_num(credits, nan=0.0)
    clusters = [item.cluster for item in items]
    if np.isin(known, (0.0, 1.0)).all():
        return clustered_proportion(known, clusters, level=level)
    return mean_estimate(known, clusters=clusters, level=level)


def _shortfall(ceilings: Floats, credits: Floats, items: Sequence[Preference]) -> Estimate:
    """What the reward lacks to the ceiling, with a gate's interval."""
    if np.ptp(ceilings) > 0:
        lacking = ceilings - np.nan_to_num(credits, nan=0.0)
        return mean_estimate(lacking, clusters=[item.cluster for item in items], level=LEVEL)
    top, found = float(ceilings[0]), accuracy(credits, items, LEVEL)
    ends = {"value": top - found.value, "low": top - found.high, "high": top - found.low}
    return found.model_copy(update={**ends, "method": f"ceiling less {found.method}"})


def _credit(scores: Floats, item: Preference) -> float:
    """Credit by ranks; with soft labels, the share of people that the reward sides with."""
    plain = credit(scores, item.ranks)
    share = max(item.chosen, 1 - item.chosen)
    return plain if np.isnan(share) else plain * share + (1 - plain) * (1 - share)


def _scored(scores: Scores, items: Sequence[Preference]) -> list[Floats]:
    """Scores of each item's replies."""
    values = scores.of([text for item in items for text in item.texts])
    return np.split(values, np.cumsum([len(item.replies) for item in items])[:-1])


def _subsets(items: Sequence[Preference]) -> dict[str, list[int]]:
    """Numbers of the items of each subset; those of too few clusters to say anything are joined."""
    found: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        found.setdefault(item.prompt.subset, []).append(i)
    small = [n for n, own in found.items() if len({items[i].cluster for i in own}) < 2]
    if small and len(found) > 1:
        joined = [i for name in small for i in found.pop(name)]
        found["(others)"] = joined
    return dict(sorted(found.items()))


def _of(items: Sequence[Preference], own: Sequence[int]) -> list[Preference]:
    return [items[i] for i in own]


def _ties(items: Sequence[Preference], each: Sequence[Floats]) -> tuple[NamedEstimate, ...]:
    """Score of prompts with several right answers, where ids name them and their twins."""
    kinds: dict[str, dict[str, tuple[Floats, Floats]]] = {"tied": {}, "ref": {}}
    for item, scores in zip(items, each, strict=True):
        kind, _, number = str(item.columns.get("id", "")).partition(":")
        if kind in kinds and number and not np.isnan(scores).any():
            right = np.array(item.ranks) == min(item.ranks)
            kinds[kind][number] = (scores[right], scores[~right])
    shared = sorted(set(kinds["tied"]) & set(kinds["ref"]))
    if not shared:
        return ()
    found = ties_score(kinds["tied"], kinds["ref"])
    nan = float("nan")
    one = Estimate(value=found.score, low=nan, high=nan, n=len(shared), method="no interval")
    return (one.named("several right answers (score may exceed 1)"),)


def _by_subset(items: Sequence[Preference], credits: Floats, ceilings: Floats) -> tuple[Table, ...]:
    longer = np.array([_longer(item) for item in items])
    rows: list[tuple[str, int, int, float, float, float, float, float, str]] = []
    for name, own in {"all": list(range(len(items))), **_subsets(items)}.items():
        found = accuracy(credits[own], _of(items, own))
        best = sum(is_best_of(items[i].ranks) for i in own)
        kind = "best of several" if best == len(own) else "order" if not best else "mixed"
        rows.append(
            (
                name or "(none)",
                len(own),
                found.n,
                found.value,
                found.low,
                found.high,
                float(ceilings[own].mean()),
                float(longer[own].mean()),
                kind,
            )
        )
    if len(rows) == 2:
        rows = rows[:1]
    columns = (
        "subset",
        "preferences",
        "clusters",
        "accuracy",
        "low",
        "high",
        "ceiling",
        "by picking the longer",
        "credit for",
    )
    return (Table(title="Accuracy of the reward", columns=columns, rows=tuple(rows)),)


def _longer(item: Preference) -> float:
    """Credit of scoring by length alone."""
    return credit([len(reply.split()) for reply in item.replies], item.ranks)


def _worst(
    about: str, items: Sequence[Preference], each: Sequence[Floats], credits: Floats
) -> tuple[Passage, ...]:
    """Preferences the reward contradicts most, in its own units."""
    depth = np.array(
        [
            float(scores[np.argmax(item.ranks)] - scores[np.argmin(item.ranks)])
            for item, scores in zip(items, each, strict=True)
        ]
    )
    order = np.argsort(-np.nan_to_num(depth, nan=-np.inf), kind="stable")[:SHOWN]
    return tuple(
        Passage(
            about=about,
            prompt=items[i].prompt.messages[-1].content,
            baseline=f"preferred: {items[i].replies[int(np.argmin(items[i].ranks))]}",
            candidate=f"scored higher: {items[i].replies[int(np.argmax(items[i].ranks))]}",
            note=f"higher by {depth[i]:.3g}, subset {items[i].prompt.subset or '(none)'}",
        )
        for i in order
        if depth[i] > 0 and credits[i] < 1
    )
