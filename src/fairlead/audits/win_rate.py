"""Are the candidate's replies preferred, and would they be if they were no longer?

A judge compares both models' replies to the same prompts in both orders, or a reward says which is
the better one. The raw win rate and the one at equal length (Dubois et al. 2024, arXiv:2404.04475;
see `fairlead.stats.length_control`) always stand side by side: length may be a way to cheat a
judge, and it may be what a better reply takes.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt

from fairlead.audits.base import Audit, Need, Subject
from fairlead.audits.replies import prompts_of, replies, reward_named, spoken, worth
from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.gates import LEVEL, Gate
from fairlead.core.results import Figure, Finding, Passage, Series, Table
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer
from fairlead.judges.pairwise import Outcome, Pair, PairwiseJudge, PairwiseSettings
from fairlead.judges.quality import JudgedPair, judge_quality
from fairlead.records import Comparison, Prompt, Record
from fairlead.stats.gates import gate, unscored_of
from fairlead.stats.length_control import (
    LengthControlled,
    length_controlled_win_rate,
    overlap,
    raw_win_rate,
)
from fairlead.stats.prediction_powered import prediction_powered

Floats = NDArray[np.float64]
Style = Literal["headers", "lists", "bold"]

SHOWN = 10
BINS = 5
REFUSED = Estimate(
    value=np.nan, low=np.nan, high=np.nan, n=0, method="lengths do not overlap", level=LEVEL
)
PATTERNS: dict[Style, re.Pattern[str]] = {
    "headers": re.compile(r"^#{1,6} \S", re.M),
    "lists": re.compile(r"^\s*(?:[-*+]|\d+[.)]) \S", re.M),
    "bold": re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__"),
}
CODE = re.compile(r"^[ \t]*```.*?(?:^[ \t]*```|\Z)", re.M | re.S)


@dataclass(frozen=True)
class _Duel:
    """Both models' replies to one prompt, and who is the better one."""

    prompt: Prompt
    ours: Answer
    theirs: Answer
    preference: float
    """Probability that the candidate's is the better one; nan where nobody said."""
    state: str
    outcome: Outcome | None = None
    """What a judge said; None for a reward, and where there was nothing to compare."""

    @property
    def gap(self) -> int:
        """Characters that the candidate's reply has more."""
        return len(self.ours.text) - len(self.theirs.text)


class WinRate(Audit):
    """How often the candidate's reply is preferred, and whether that is length."""

    kind: Literal["win_rate"] = "win_rate"
    prompts: str
    """Records whose prompts are asked."""
    items: PositiveInt = 500
    """Prompts at most, drawn at random."""
    samples: PositiveInt = 1
    """Replies to each prompt; the k-th of one model meets the k-th of the other."""
    max_tokens: PositiveInt = 512
    """Longest reply; what is cut off is judged as it stands."""
    temperature: NonNegativeFloat = 0.0
    """Of the replies; 0 takes the likeliest words."""
    by: str = "judge"
    """`judge`, or the name of a reward: the reply with the higher one is preferred."""
    judging: PairwiseSettings = PairwiseSettings()
    """How a judge compares."""
    style: tuple[Style, ...] = ()
    """Marks whose density is taken out beside length."""
    people: str = ""
    """Comparisons by people of some of these very replies, which correct the judge."""
    margin: NonNegativeFloat = Field(default=0.03, le=0.5)
    """How far below one half the win rate at equal length may be; 0 asks for superiority."""
    resamples: PositiveInt = Field(default=1000, ge=100)
    """Refits behind the interval."""
    file_fields: ClassVar[tuple[str, ...]] = ("prompts", "people")
    needs: ClassVar[frozenset[Need]] = frozenset({"judge"})

    def check(self, subject: Subject) -> None:
        """Refuses a subject without the judge or the reward that decides.

        Raises:
            ConfigError: it is not there.
        """
        if self.by == "judge":
            super().check(subject)
        else:
            reward_named(subject, self.by, where=f"audits, {self.title}, by")

    def run(self, subject: Subject) -> Finding:
        """Asks both models, then the judge."""
        self.check(subject)
        seed = subject.seed.child(self.title)
        asked = prompts_of(subject, self.prompts, self.items, seed.child("items"))
        ours, theirs = (
            replies(
                model,
                asked,
                samples=self.samples,
                max_tokens=self.max_tokens,
                temperature=self.temperature,
            )
            for model in (subject.candidate, subject.baseline)
        )
        met = [
            (prompt, a, b)
            for prompt, own, other in zip(asked, ours, theirs, strict=True)
            for a, b in zip(own, other, strict=True)
        ]
        duels = self._judged(met, subject, seed)
        return self._finding(duels, subject, seed)

    def _judged(
        self, met: Sequence[tuple[Prompt, Answer, Answer]], subject: Subject, seed: Seed
    ) -> list[_Duel]:
        """Duels in order; the judge sees those in which both said something."""
        talks = [all(spoken(a) and a.text.strip() for a in (one, two)) for _, one, two in met]
        shown = [m for m, talk in zip(met, talks, strict=True) if talk]
        decided = iter(self._decided(shown, subject, seed))
        return [
            _duel(m, next(decided) if talk else None) for m, talk in zip(met, talks, strict=True)
        ]

    def _decided(
        self, shown: Sequence[tuple[Prompt, Answer, Answer]], subject: Subject, seed: Seed
    ) -> list[tuple[float | None, str, Outcome | None]]:
        """Preference for the candidate's reply, state, and what the judge said."""
        if self.by == "judge":
            assert subject.judge is not None
            judge = PairwiseJudge([subject.judge], self.judging, seed=seed.child("judge"))
            outcomes = judge.compare([Pair(p, a.text, b.text) for p, a, b in shown])
            return [(o.label, o.state, o) for o in outcomes]
        if not shown:
            return []
        source = reward_named(subject, self.by, where=f"audits, {self.title}, by")
        texts = [(prompt, reply.text) for prompt, *both in shown for reply in both]
        values = worth(source, texts, subject).reshape(-1, 2).tolist()
        return [(*_higher(one, other), None) for one, other in values]

    def _finding(self, duels: Sequence[_Duel], subject: Subject, seed: Seed) -> Finding:
        table = _Table.of(duels, self.style)
        fit, why = self._fitted(table, seed)
        decided = self._gate(table, fit, duels, seed)
        corrected, card, about = self._trust(duels, subject, seed)
        rates = {"win rate, raw": raw_win_rate(table.filled, clusters=table.prompts)}
        if fit is not None:
            rates["win rate at equal length"] = fit.win_rate()
        rates |= corrected
        shown = Table(
            title="Win rate of the candidate",
            columns=("measure", "win rate", "low", "high", "prompts"),
            rows=tuple((name, e.value, e.low, e.high, e.n) for name, e in rates.items()),
        )
        return Finding(
            audit=self.title,
            question="Are the candidate's replies preferred, and at equal length too?",
            gates=(decided,),
            estimates=tuple(e.named(n) for n, e in rates.items()),
            tables=(shown, _lengths(table, fit), *card),
            figures=(_figure(table, fit),),
            passages=_worst(decided.name, duels),
            judge=tuple(about),
            notes=why,
            source="Dubois et al. 2024, arXiv:2404.04475",
        )

    def _fitted(
        self, table: "_Table", seed: Seed
    ) -> tuple[LengthControlled | None, tuple[str, ...]]:
        """The win rate at equal length, or why there is none."""
        try:
            found = length_controlled_win_rate(
                table.filled,
                table.gaps,
                style=table.style,
                clusters=table.prompts,
                seed=seed.child("resamples"),
                resamples=self.resamples,
            )
        except DataError as error:
            return None, (f"{error.what}: {error.got}.".capitalize(),)
        return found, ()

    def _gate(
        self, table: "_Table", fit: LengthControlled | None, duels: Sequence[_Duel], seed: Seed
    ) -> Gate:
        """The gate at equal length."""
        unscored = unscored_of(duel.state for duel in duels)
        scored = table.scored if unscored else None
        again = None if scored is None else self._fitted(scored, seed)[0]
        return gate(
            f"{self.title}/at equal length",
            "one half less the win rate at equal length",
            REFUSED if fit is None else _short_of_half(fit),
            self.margin,
            hard=self.hard,
            items=len(duels),
            unscored=unscored,
            observed=None if again is None else _short_of_half(again),
        )

    # Trust in the judge

    def _trust(
        self, duels: Sequence[_Duel], subject: Subject, seed: Seed
    ) -> tuple[dict[str, Estimate], list[Table], list[str]]:
        """The win rate corrected by people, the judge's card, and what to know of the judge."""
        people = _shares(subject.records(self.people)) if self.people else {}
        labels = [_label(people, duel) for duel in duels]
        scored = [(d.preference, y) for d, y in zip(duels, labels, strict=True) if _said(d)]
        both = [(f, y) for f, y in scored if y is not None]
        notes: list[str] = []
        corrected: dict[str, Estimate] = {}
        if len(both) > 1:
            corrected["win rate, raw, corrected by people"] = prediction_powered(
                [f for f, _ in scored], [f for f, _ in both], [y for _, y in both]
            )
            notes.append(f"People compared {len(both)} of {len(duels)} pairs of replies.")
        elif self.by == "judge":
            why = "None of the labels given is of these replies" if self.people else ""
            notes.append(f"The judge is unvalidated: {why or 'no human labels were given'}.")
        if self.by == "judge":
            return corrected, _card(duels, labels, seed), notes
        notes.append(f"The reward {self.by} says which reply is better.")
        return corrected, [], notes


@dataclass(frozen=True)
class _Table:
    """Duels as arrays [pair]."""

    preferences: Floats
    """nan where nobody said."""
    gaps: Floats
    style: Floats
    """[pair, feature]."""
    prompts: NDArray[np.int64]
    """Which prompt."""

    @classmethod
    def of(cls, duels: Sequence[_Duel], style: Sequence[Style]) -> "_Table":
        numbers: dict[Prompt, int] = {}
        return cls(
            np.array([duel.preference for duel in duels]),
            np.array([float(duel.gap) for duel in duels]),
            np.array([[_denser(duel, mark) for mark in style] for duel in duels]),
            np.array([numbers.setdefault(duel.prompt, len(numbers)) for duel in duels]),
        )

    @property
    def filled(self) -> Floats:
        """Preferences; where nobody said, the candidate lost."""
        return np.nan_to_num(self.preferences, nan=0.0)

    @property
    def scored(self) -> "_Table | None":
        """The pairs of which somebody said something; None where they are of one prompt."""
        kept = ~np.isnan(self.preferences)
        if len(set(self.prompts[kept].tolist())) < 2:
            return None
        return _Table(self.preferences[kept], self.gaps[kept], self.style[kept], self.prompts[kept])


def _duel(
    met: tuple[Prompt, Answer, Answer], decided: tuple[float | None, str, Outcome | None] | None
) -> _Duel:
    """A duel that was decided, or that needs no judge: silence loses against a reply."""
    prompt, ours, theirs = met
    if decided is not None:
        label, state, outcome = decided
        return _Duel(prompt, ours, theirs, np.nan if label is None else label, state, outcome)
    silent = next((a.state for a in (ours, theirs) if not spoken(a)), None)
    if silent is not None:
        return _Duel(prompt, ours, theirs, np.nan, silent)
    won = (1 + bool(ours.text.strip()) - bool(theirs.text.strip())) / 2
    return _Duel(prompt, ours, theirs, won, "scored")


def _higher(ours: float, theirs: float) -> tuple[float | None, str]:
    if np.isnan(ours) or np.isnan(theirs):
        return None, "parse_fail"
    return float((1 + np.sign(ours - theirs)) / 2), "scored"


def _said(duel: _Duel) -> bool:
    return not np.isnan(duel.preference)


def _short_of_half(fit: LengthControlled) -> Estimate:
    rate = fit.win_rate(LEVEL)
    ends = {"value": 0.5 - rate.value, "low": 0.5 - rate.high, "high": 0.5 - rate.low}
    return rate.model_copy(update=ends)


def _denser(duel: _Duel, mark: Style) -> float:
    """Difference of marks per word, over their sum and one (Arena-Hard's style control)."""
    ours, theirs = (_density(answer.text, mark) for answer in (duel.ours, duel.theirs))
    return (ours - theirs) / (ours + theirs + 1)


def _density(text: str, mark: Style) -> float:
    plain = CODE.sub(" ", text)
    return len(PATTERNS[mark].findall(plain)) / max(len(plain.split()), 1)


# What is shown


def _lengths(table: _Table, fit: LengthControlled | None) -> Table:
    median = float(np.median(table.gaps))
    rows: list[tuple[str, float | None]] = [
        ("candidate longer, share of pairs", float((table.gaps > 0).mean())),
        ("overlap: share on the rarer side", overlap(table.gaps)),
        ("characters more, median", median),
        ("logits gained by length", None if fit is None else fit.slope),
    ]
    return Table(title="Lengths", columns=("measure", "value"), rows=tuple(rows))


def _figure(table: _Table, fit: LengthControlled | None) -> Figure:
    """Win rate in bins of equal size by difference of length, and the fit through them."""
    order = np.argsort(table.gaps, kind="stable")
    bins = [own for own in np.array_split(order, BINS) if len(set(table.prompts[own])) > 1]
    rates = [raw_win_rate(table.filled[own], clusters=table.prompts[own]) for own in bins]
    series = [
        Series.of(
            "judged", tuple(float(table.gaps[own].mean()) for own in bins), rates, style="points"
        )
    ]
    if fit is not None:
        across = np.linspace(table.gaps.min(), table.gaps.max(), 41)
        fitted = fit.at(across).tolist()
        series.append(Series(label="fitted", x=tuple(across.tolist()), y=tuple(fitted)))
    return Figure(
        title="Win rate by difference of length",
        x_label="characters that the candidate's reply has more",
        y_label="win rate of the candidate",
        series=tuple(series),
        caption="The fit at 0 is the win rate at equal length.",
    )


def _card(duels: Sequence[_Duel], labels: Sequence[float | None], seed: Seed) -> list[Table]:
    """What these comparisons say of their judge."""
    pairs = [
        JudgedPair(
            duel.outcome,
            (len(duel.ours.text), len(duel.theirs.text)),
            duel.prompt.first_user_turn,
            people=label,
        )
        for duel, label in zip(duels, labels, strict=True)
        if duel.outcome is not None
    ]
    if not pairs:
        return []
    found = judge_quality(pairs, seed=seed.child("quality"))
    rows = [(e.name.replace("_", " "), e.value, e.low, e.high, e.n) for e in found.estimates]
    return [
        Table(title="The judge", columns=("measure", "value", "low", "high", "n"), rows=tuple(rows))
    ]


def _shares(records: Sequence[Record]) -> dict[tuple[object, ...], float]:
    """By prompt and replies, the share of people who prefer the first of them."""
    votes: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for one in records:
        if isinstance(one, Comparison):
            share = 0.5 if one.tie else 1.0 if one.preference is None else one.preference
            votes[one.prompt.messages, one.chosen, one.rejected].append(share)
            votes[one.prompt.messages, one.rejected, one.chosen].append(1 - share)
    return {key: float(np.mean(own)) for key, own in votes.items()}


def _label(people: Mapping[tuple[object, ...], float], duel: _Duel) -> float | None:
    return people.get((duel.prompt.messages, duel.ours.text, duel.theirs.text))


def _worst(about: str, duels: Sequence[_Duel]) -> tuple[Passage, ...]:
    lost = sorted((d for d in duels if _said(d) and d.preference < 0.5), key=_preference)
    return tuple(
        Passage(
            about=about,
            prompt=duel.prompt.messages[-1].content,
            baseline=duel.theirs.text,
            candidate=duel.ours.text,
            note=f"preferred with probability {duel.preference:.2f}",
        )
        for duel in lost[:SHOWN]
    )


def _preference(duel: _Duel) -> float:
    return duel.preference
