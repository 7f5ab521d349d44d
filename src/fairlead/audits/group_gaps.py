"""Whom do the preferences, and the reward, leave out?

How often the choice of a person agrees with what the others chose for the same item, and with the
reward, for each group of people. A group with which both agree less than with everybody else is
one whose preferences training would write over.

A campaign's choices come from `fairlead feedback export CAMPAIGN FOLDER --records each --groups`:
`data: FOLDER/data`, `people: FOLDER/answers.jsonl`, `group:` one of the campaign's kinds of groups.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt

from fairlead.audits.base import Audit, Subject
from fairlead.audits.items.preferences import Preference, read_preferences
from fairlead.audits.items.reading import BadItem, read_items
from fairlead.audits.scoring import Floats, Scores
from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.gates import LEVEL, Gate
from fairlead.core.results import Finding, Passage, Table
from fairlead.stats.gates import gate, harm_p, unscored_of
from fairlead.stats.means import mean_estimate
from fairlead.stats.reward_scores import credit, group_gap
from fairlead.stats.significance import holm

SHOWN = 10


class GroupGaps(Audit):
    """How much less the aggregate and the reward agree with one group than with the others."""

    kind: Literal["group_gaps"] = "group_gaps"
    data: str
    """One row for each choice of a person between two replies."""
    people: str = ""
    """Rows with a person's pseudonym and their `groups` by kind, as an export's `answers.jsonl`;
    empty where the choices themselves say the group."""
    group: str = "group"
    """Column with the person's group, or its kind in `people`; choices of people without one are
    left out and counted."""
    annotator: str = "annotator"
    """Column with the person's pseudonym; choices of one person are not independent. Where it is
    missing, choices on one prompt are taken as dependent instead."""
    fewest: PositiveInt = 50
    """Choices that a group must have made to be judged."""
    margin: NonNegativeFloat = Field(default=0.05, le=1)
    """Largest gap of agreement that is accepted."""
    file_fields: ClassVar[tuple[str, ...]] = ("data", "people")

    def run(self, subject: Subject) -> Finding:
        """Counts agreement; asks the reward, where there is one."""
        read = read_preferences(subject.locate(self.data), (self.group, self.annotator))
        pairs = [item for item in read.items if len(item.replies) == 2]
        if self.people:
            of = _groups(subject.locate(self.people), self.annotator, self.group)
            pairs = [_placed(item, of, self.annotator, self.group) for item in pairs]
        items = [item for item in pairs if self.group in item.columns]
        groups = [str(item.columns[self.group]) for item in items]
        self._check(groups)
        measured = {"the choices of others": _with_others(items)}
        states: dict[str, list[str]] = {}
        if "proxy" in subject.rewards:
            scores = Scores.by(subject)
            measured["the reward"] = _with_reward(scores, items)
            states["the reward"] = [s for item in items for s in set(scores.states(item.texts))]
        clusters = [str(item.columns.get(self.annotator, item.cluster)) for item in items]
        gates = self._gates(measured, groups, clusters, [_key(item) for item in items], states)
        notes = [*read.notes]
        if len(items) < len(read.items):
            notes.append(f"{len(read.items) - len(items)} rows without a group left out.")
        if alone := sorted(_alone(groups, clusters)):
            notes.append(
                f"One person, or one prompt, speaks for {', '.join(alone)}: no interval, no gate."
            )
        if not any(self.annotator in item.columns for item in items):
            notes.append("Nobody says who chose, so choices on one prompt are taken as dependent.")
        return Finding(
            audit=self.title,
            question="Whom do the preferences, and the reward, leave out?",
            gates=gates,
            estimates=_largest(gates),
            tables=tuple(_table(k, v, groups, clusters) for k, v in measured.items()),
            passages=_worst(gates, measured, groups, items, self.title),
            notes=tuple(notes),
        )

    def _check(self, groups: Sequence[str]) -> None:
        if (
            len([n for n in Counter(groups).values() if n >= self.fewest]) < 1
            or len(set(groups)) < 2
        ):
            raise DataError(
                "no groups to compare",
                where=f"audits, {self.title}, column {self.group}",
                expected=f"two groups or more, one of them with {self.fewest} choices",
                got=", ".join(f"{k}: {n}" for k, n in Counter(groups).most_common(8)) or "none",
                remedy="name the column with the person's group, or lower `fewest`",
            )

    def _gates(
        self,
        measured: dict[str, Floats],
        groups: Sequence[str],
        clusters: Sequence[str],
        compared: Sequence[tuple[str, ...]],
        states: dict[str, list[str]],
    ) -> tuple[Gate, ...]:
        """One gate for each group and measure, as one family."""
        large = sorted(k for k, n in Counter(groups).items() if n >= self.fewest)
        changes: list[tuple[str, str, Estimate, int]] = []
        for what, agreement in measured.items():
            # What is not scored agrees with nobody: in the group's disfavour, not the others'.
            for name in large:
                own = np.array([g == name for g in groups])
                there = self._there(what, agreement)
                filled = np.where(np.isnan(agreement), np.where(own, 0.0, 1.0), agreement)
                kept = np.flatnonzero(there).tolist()
                # One person shows no spread, on either side.
                if any(len({clusters[i] for i in kept if own[i] == mine}) < 2 for mine in (0, 1)):
                    continue
                change = group_gap(
                    filled[there],
                    own[there],
                    clusters=[clusters[i] for i in kept],
                    across=[compared[i] for i in kept],
                    level=LEVEL,
                )
                changes.append((name, what, change, int((own & there).sum())))
        # The gaps of two groups mirror each other; Holm's correction minds no dependence.
        adjusted = holm([harm_p(c) for _, _, c, _ in changes]) if changes else []
        return tuple(
            gate(
                f"{self.title}/{name}: {what}",
                f"agreement of {what} with other groups, less with this one",
                change,
                self.margin,
                hard=self.hard,
                adjusted_p=float(p),
                items=n,
                unscored=unscored_of(states.get(what, [])),
            )
            for (name, what, change, n), p in zip(changes, adjusted, strict=True)
        )

    def _there(self, what: str, agreement: Floats) -> np.ndarray:
        """Choices that count: with others only those that others made too."""
        known = ~np.isnan(agreement)
        return known if what == "the choices of others" else np.ones(len(agreement), dtype=bool)


def _groups(place: str, annotator: str, kind: str) -> dict[str, str]:
    """The group of each person."""
    expected = f"{annotator}, and groups with a value of {kind}"

    def parse(row: Mapping[str, Any]) -> tuple[str, str]:
        groups = row["groups"]
        if not isinstance(groups, Mapping) or groups.get(kind) is None:
            raise BadItem(f"no group of the kind {kind}")
        return str(row[annotator]), str(groups[kind])

    return dict(read_items(place, parse, expected=expected).items)


def _placed(item: Preference, of: Mapping[str, str], annotator: str, kind: str) -> Preference:
    """A choice with the group of who made it, where it is known."""
    own = of.get(str(item.columns.get(annotator)))
    return item if own is None else replace(item, columns={**item.columns, kind: own})


def _alone(groups: Sequence[str], clusters: Sequence[str]) -> set[str]:
    """Groups that are one cluster, or beside which there is only one."""
    by: dict[str, set[str]] = defaultdict(set)
    for group, cluster in zip(groups, clusters, strict=True):
        by[group].add(cluster)
    return {
        name
        for name, own in by.items()
        if len(own) < 2 or len(set().union(*(c for k, c in by.items() if k != name))) < 2
    }


def _key(item: Preference) -> tuple[str, ...]:
    """What was compared, whoever preferred which."""
    return (*(m.content for m in item.prompt.messages), *sorted(item.replies))


def _first(item: Preference) -> float:
    """1 where the reply that sorts first is preferred, 0 where the other is."""
    best = item.replies[int(np.argmin(item.ranks))]
    return float(best == min(item.replies))


def _with_others(items: Sequence[Preference]) -> Floats:
    """[choice] 1 where it is that of most others, a half where they tie, nan without others."""
    choices: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for item in items:
        choices[_key(item)].append(_first(item))
    agreement = np.full(len(items), np.nan)
    for i, item in enumerate(items):
        own, every = _first(item), choices[_key(item)]
        if len(every) > 1:
            rest = (sum(every) - own) / (len(every) - 1)
            agreement[i] = 0.5 + np.sign(rest - 0.5) * (own - 0.5)
    return agreement


def _with_reward(scores: Scores, items: Sequence[Preference]) -> Floats:
    """[choice] 1 where the reward prefers the same reply, a half where it ties."""
    values = scores.of([text for item in items for text in item.texts]).reshape(-1, 2)
    return np.array([credit(own, item.ranks) for own, item in zip(values, items, strict=True)])


def _table(what: str, agreement: Floats, groups: Sequence[str], clusters: Sequence[str]) -> Table:
    rows: list[tuple[str, int, int, float | None, float | None, float | None]] = []
    for name in sorted(set(groups)):
        own = [i for i, g in enumerate(groups) if g == name and not np.isnan(agreement[i])]
        people = {clusters[i] for i in own}
        if len(people) < 2:
            rows.append((name, len(own), len(people), None, None, None))
            continue
        found = mean_estimate(agreement[own], clusters=[clusters[i] for i in own])
        rows.append((name, len(own), len(people), found.value, found.low, found.high))
    rows.sort(key=lambda row: 2.0 if row[3] is None else row[3])
    columns = ("group", "choices", "independent", "agreement", "low", "high")
    return Table(title=f"Agreement of {what} with each group", columns=columns, rows=tuple(rows))


def _largest(gates: Sequence[Gate]) -> tuple[NamedEstimate, ...]:
    """The largest gap; the largest of several is larger than it would be alone."""
    if not gates:
        return ()
    worst = max(gates, key=lambda one: one.change.value)
    name = f"largest gap ({worst.name.split('/', 1)[-1]})"
    return (worst.change.named(name),)


def _worst(
    gates: Sequence[Gate],
    measured: dict[str, Floats],
    groups: Sequence[str],
    items: Sequence[Preference],
    title: str,
) -> tuple[Passage, ...]:
    """Choices of groups that were overruled."""
    found: list[Passage] = []
    for one in sorted(gates, key=lambda g: -g.change.value):
        name, _, what = one.name.removeprefix(f"{title}/").rpartition(": ")
        if one.verdict == "pass":
            continue
        lost = [i for i, g in enumerate(groups) if g == name and measured[what][i] == 0]
        found += [
            Passage(
                about=one.name,
                prompt=items[i].prompt.messages[-1].content,
                baseline=f"{what}: {items[i].replies[int(np.argmax(items[i].ranks))]}",
                candidate=f"{name}: {items[i].replies[int(np.argmin(items[i].ranks))]}",
                note="the group's choice was overruled",
            )
            for i in lost[:3]
        ]
    return tuple(found[:SHOWN])
