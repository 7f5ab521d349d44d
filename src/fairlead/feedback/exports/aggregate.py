"""From all answers to one item to one label, with what remains open beside it.

A margin is what a reward model or DPO takes: the mean level of strength where strength was asked
(a vote against the chosen reply counts below 0), else the lead in votes, or with Bradley-Terry the
difference of strengths in logits.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from fairlead.feedback.gathered import Answer, Case, Gathered
from fairlead.feedback.labels import (
    FIRST,
    SECOND,
    TIE,
    Question,
    questions,
    ranks_of,
    signed_strength,
)
from fairlead.feedback.quality import dawid_skene, find_outliers, mace, majority, pair_margins
from fairlead.feedback.quality.aggregation import Aggregated
from fairlead.feedback.tables import LabelTable
from fairlead.feedback.work import Kind, Pairwise, Ratings

EVEN = 1e-9
"""Shares that differ by less are equal."""

LABELLED = ("pairwise", "binary", "likert")
"""Kinds of work whose items have one label each."""

Weights = Mapping[str, float]


@dataclass(frozen=True)
class Pair:
    """Which of two replies is better."""

    preference: float
    """Probability that the item's first reply is the better one; half of a tie is its."""
    margin: float
    """By how much the first is better; below 0 where the second is."""


@dataclass(frozen=True)
class Opinion:
    """What a crowd, or one person, said of an item."""

    case: Case
    answers: tuple[Answer, ...]
    weights: Weights = field(default_factory=dict[str, float])
    pair: Pair | None = None
    """Of pairwise work."""
    soft: dict[str, float] = field(default_factory=dict[str, float])
    """Probability of each label, where there are labels."""

    def weight(self, answer: Answer) -> float:
        """How much an answer counts."""
        return self.weights.get(answer.annotator, 1.0)

    def mean(self, values: Sequence[tuple[Answer, float]]) -> float | None:
        """Weighted mean; None of nothing."""
        total = sum(self.weight(answer) for answer, _ in values)
        if not total:
            return None
        return sum(self.weight(answer) * value for answer, value in values) / total


def opinions(
    gathered: Gathered, method: str, *, weighted: bool, answers: Sequence[Answer]
) -> list[Opinion]:
    """One opinion per item that was answered, in the order of items.

    Args:
        gathered: the campaign.
        method: how labels are aggregated.
        weighted: whether people with findings count less.
        answers: those that count.
    """
    own = replace(gathered, answers=tuple(answers))
    weights = _weights(gathered) if weighted else {}
    asked = next((q for q in questions(own) if q.name == ""), None)
    fitted = _fitted(own.work, asked, method, weights)
    of_item: defaultdict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        of_item[answer.item].append(answer)
    return [
        fitted.opinion(gathered, case, tuple(of_item[case.id]), weights)
        for case in gathered.cases.values()
        if of_item[case.id]
    ]


def single(gathered: Gathered, answer: Answer) -> Opinion:
    """One answer as the opinion of its person."""
    case = gathered.cases[answer.item]
    if not isinstance(gathered.work, Pairwise):
        return Opinion(case, (answer,))
    label = {None: TIE, 0: FIRST, 1: SECOND}[answer.value["preferred"]]
    soft = {label: 1.0}
    pair = Pair(_preference(soft), _votes_margin(gathered, soft, [(answer, 1.0)]))
    return Opinion(case, (answer,), pair=_polar(gathered.work, pair), soft=soft)


@dataclass(frozen=True)
class _Fitted:
    """Soft labels by item and, for pairs under Bradley-Terry, margins in logits."""

    soft: dict[str, dict[str, float]]
    logits: dict[str, float]

    def opinion(
        self, gathered: Gathered, case: Case, answers: tuple[Answer, ...], weights: Weights
    ) -> Opinion:
        soft = self.soft.get(case.external_id, {})
        opinion = Opinion(case, answers, weights, None, soft)
        if not isinstance(gathered.work, Pairwise) or not soft:
            return opinion
        margin = self.logits.get(case.external_id)
        if margin is None:
            margin = _votes_margin(gathered, soft, [(a, opinion.weight(a)) for a in answers])
        pair = _polar(gathered.work, Pair(_preference(soft), margin))
        return Opinion(case, answers, weights, pair, soft)


def _weights(gathered: Gathered) -> dict[str, float]:
    """Suggested weights of people about whom there are findings, over all questions."""
    found: dict[str, float] = {}
    for question in questions(gathered):
        for person, weight in find_outliers(question.table).weights().items():
            found[person] = min(found.get(person, 1.0), weight)
    return found


def _fitted(work: Kind, asked: Question | None, method: str, weights: Weights) -> _Fitted:
    if asked is None or work.kind not in LABELLED:
        return _Fitted({}, {})
    table = asked.table
    known = {name: weight for name, weight in weights.items() if name in table.people.names}
    if method == "bradley_terry" and isinstance(work, Pairwise):
        return _bradley_terry(table, known)
    fit = {"dawid_skene": dawid_skene, "mace": mace}.get(method, majority)
    return _Fitted(_soft(fit(table, known or None)), {})


def _bradley_terry(table: LabelTable, weights: Weights) -> _Fitted:
    found = pair_margins(table, FIRST, SECOND, weights=weights or None)
    logits = dict(zip(table.items.names, found.margin.tolist(), strict=True))
    return _Fitted(_soft(found.aggregated), logits)


def _soft(aggregated: Aggregated) -> dict[str, dict[str, float]]:
    return {row["item"]: row["soft"] for row in aggregated.rows()}


def _preference(soft: Mapping[str, float]) -> float:
    return soft.get(FIRST, 0.0) + soft.get(TIE, 0.0) / 2


def _votes_margin(
    gathered: Gathered, soft: Mapping[str, float], answers: Sequence[tuple[Answer, float]]
) -> float:
    assert isinstance(gathered.work, Pairwise)
    if not gathered.work.strengths:
        return soft.get(FIRST, 0.0) - soft.get(SECOND, 0.0)
    total = sum(weight for _, weight in answers)
    levels = sum(weight * signed_strength(answer.value) for answer, weight in answers)
    return levels / total if total else 0.0


def _polar(work: Pairwise, pair: Pair) -> Pair:
    """Where people chose the worse reply, the other one is the better."""
    return pair if work.polarity == "better" else Pair(1 - pair.preference, -pair.margin)


# Other kinds of work


def ranking_scores(opinion: Opinion, work: Kind) -> dict[int, float]:
    """Share of the other replies that each beats, over all people who ranked both; ties are half.

    With complete rankings this is Borda's count. Replies that nobody ranked are not there.
    """
    wins = _wins(opinion, work)
    ranked = sorted({one for pair in wins for one in pair})
    return {one: float(np.mean([s for (a, _), s in wins.items() if a == one])) for one in ranked}


def pairs_of_ranking(opinion: Opinion, work: Kind) -> dict[tuple[int, int], float]:
    """Share of people who put the first reply above the second, for all pairs of replies."""
    return {pair: share for pair, share in _wins(opinion, work).items() if pair[0] < pair[1]}


def _wins(opinion: Opinion, work: Kind) -> dict[tuple[int, int], float]:
    worse = getattr(work, "polarity", "better") == "worse"
    votes: defaultdict[tuple[int, int], list[tuple[Answer, float]]] = defaultdict(list)
    for answer in opinion.answers:
        ranks = ranks_of(answer.value)
        for one, other in combinations(sorted(ranks), 2):
            sign = np.sign(ranks[other] - ranks[one]) * (-1 if worse else 1)
            votes[one, other].append((answer, float(1 + sign) / 2))
            votes[other, one].append((answer, float(1 - sign) / 2))
    shares = {pair: opinion.mean(cast) for pair, cast in votes.items()}
    return {pair: share for pair, share in shares.items() if share is not None}


def mean_scores(opinion: Opinion, work: Kind) -> dict[str, float]:
    """Mean of each dimension over those who rated it; `score` for the one scale of Likert work."""
    names = [one.name for one in work.dimensions] if isinstance(work, Ratings) else ["score"]
    found: dict[str, float] = {}
    for name in names:
        given = [(a, _score(a, name)) for a in opinion.answers]
        mean = opinion.mean([(a, float(score)) for a, score in given if score is not None])
        if mean is not None:
            found[name] = mean
    return found


def _score(answer: Answer, name: str) -> int | None:
    return answer.value.get("scores", answer.value).get(name)


def good_share(opinion: Opinion) -> float | None:
    """Probability that the reply is good: the share of people who said so, or the method's."""
    if opinion.soft:
        return opinion.soft.get("good", 0.0)
    return opinion.mean([(a, float(a.value["good"])) for a in opinion.answers])


def step_votes(opinion: Opinion) -> list[dict[int, float]]:
    """For each step the weight of each label; nothing from those who gave up."""
    count = len(opinion.case.replies[0].steps)
    votes: list[Counter[int]] = [Counter() for _ in range(count)]
    for answer in opinion.answers:
        if answer.value["finish"] in ("give_up", "bad_problem"):
            continue
        for place, label in enumerate(answer.value["labels"]):
            if label is not None:
                votes[place][label] += opinion.weight(answer)  # pyright: ignore[reportArgumentType]
    return [{label: float(weight) for label, weight in sorted(one.items())} for one in votes]


def leading(votes: Mapping[Any, float]) -> Any:
    """The label with most votes; None where two share the first place or nobody voted."""
    order = sorted(votes.values(), reverse=True)
    if not order or order[0] <= 0 or (len(order) > 1 and order[0] - order[1] <= EVEN):
        return None
    return max(votes, key=lambda label: votes[label])
