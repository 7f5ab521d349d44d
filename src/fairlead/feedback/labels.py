"""Tables of labels from the store: one per question that a campaign asks.

Pairwise work is one question, or two where strength is asked; ratings are one per dimension; steps
are items that belong to their solution. Of a ranking, the table has whether the item's first reply
was ranked above its second: one comparison per answer, so that answers stay independent. Free text
has no labels.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fairlead.feedback.gathered import Answer, Case, Gathered
from fairlead.feedback.tables import LabelTable, table_of
from fairlead.feedback.work import Pairwise, Ratings, Value

FIRST, TIE, SECOND = "first", "tie", "second"
"""Labels of a pair: the item's own first reply, neither, the second; whichever was shown left."""


@dataclass(frozen=True)
class Label:
    """One answer to one question."""

    answer: Answer
    item: str
    label: Any
    gold: tuple[Any, ...] = ()
    left: Any = None
    longer: Any = None
    suggestion: Any = None
    cluster: str | None = None


@dataclass(frozen=True)
class Question:
    """One thing that was asked, with everybody's answers."""

    name: str
    table: LabelTable
    """All answers: to items of the campaign, to gold and screening items, and repeats."""
    work: LabelTable | None
    """Answers to items of the campaign alone, whose right answer nobody knows."""
    ordered: bool


def questions(
    gathered: Gathered, *, group: str | None = None, agent: str | None = None
) -> list[Question]:
    """The tables of labels of a campaign; none where it asks for free text, or has no answers.

    Args:
        gathered: the campaign.
        group: by which of their groups people are told apart; None for not at all.
        agent: whose suggestions stand beside the answers; None for whoever made most.
    """
    agent = agent or _main_agent(gathered)
    left_out: defaultdict[str, Counter[str]] = defaultdict(Counter)
    found: defaultdict[str, list[Label]] = defaultdict(list)
    for answer in gathered.answers:
        for name, label in _labels(gathered, answer, agent):
            if isinstance(label, str):
                left_out[name][label] += 1
            else:
                found[name].append(label)
    return [
        _question(gathered, name, labels, group, left_out[name]) for name, labels in found.items()
    ]


def groups_of(gathered: Gathered) -> tuple[str, ...]:
    """Names of the groups that people of the campaign said they belong to."""
    return tuple(sorted({name for member in gathered.people.values() for name in member.groups}))


def counted_table(gathered: Gathered, *, group: str | None = None) -> LabelTable | None:
    """Of the first question, the answers that count: what a campaign's labels are made of."""
    kept = tuple(gathered.counted())
    found = questions(replace(gathered, answers=kept), group=group)
    return found[0].table if found else None


def _main_agent(gathered: Gathered) -> str | None:
    agents = Counter(hint.agent for case in gathered.cases.values() for hint in case.hints)
    return min(agents, key=lambda name: (-agents[name], name)) if agents else None


def _labels(
    gathered: Gathered, answer: Answer, agent: str | None
) -> Iterator[tuple[str, Label | str]]:
    """(question, label) of one answer, or why there is none."""
    case = gathered.cases[answer.item]
    hint = next((h.value for h in case.hints if h.agent == agent and not h.question), None)
    labels = _KINDS.get(gathered.work.kind)
    return iter(()) if labels is None else labels(gathered, case, answer, hint)


def _question(
    gathered: Gathered,
    name: str,
    labels: Sequence[Label],
    group: str | None,
    left_out: Counter[str],
) -> Question:
    cases = gathered.cases
    own_groups = [gathered.people[one.answer.annotator].groups.get(group or "") for one in labels]
    table = table_of(
        item=[one.item for one in labels],
        annotator=[one.answer.annotator for one in labels],
        label=[one.label for one in labels],
        gold=[list(one.gold) or None for one in labels] if any(o.gold for o in labels) else None,
        left=_known([one.left for one in labels]),
        longer=_known([one.longer for one in labels]),
        suggestion=_known([one.suggestion for one in labels]),
        seconds=_known([one.answer.seconds for one in labels]),
        words=[cases[one.answer.item].words for one in labels],
        when=[one.answer.at.timestamp() for one in labels],
        group=None if group is None else own_groups,
        cluster=_known([one.cluster for one in labels]),
        order=_order(labels),
        left_out=left_out,
    )
    own = np.array([cases[one.answer.item].role == "normal" for one in labels])
    return Question(
        name=name,
        table=table,
        work=table.rows(own) if own.any() else None,
        ordered=_order(labels) is not None,
    )


def _known(values: list[Any]) -> list[Any] | None:
    return None if all(value is None for value in values) else values


def _order(labels: Sequence[Label]) -> list[str] | None:
    """A tie lies between the two replies; numbers need no order, and good and bad have none."""
    named = {str(name) for one in labels for name in (one.label, one.left, one.longer, *one.gold)}
    named |= {str(one.suggestion) for one in labels}
    used = [name for name in (FIRST, TIE, SECOND) if name in named]
    return used or None


# Kinds of work


def _pairwise(
    gathered: Gathered, case: Case, answer: Answer, hint: Value | None
) -> Iterator[tuple[str, Label | str]]:
    work = gathered.work
    assert isinstance(work, Pairwise)
    yield (
        "",
        Label(
            answer,
            case.external_id,
            _preferred(answer.value),
            gold=tuple(_preferred(value) for value in case.accepted),
            left=_side(answer.order[0]),
            longer=_longer(case),
            suggestion=None if hint is None else _preferred(hint),
        ),
    )
    if work.strengths:
        yield "strength", Label(answer, case.external_id, signed_strength(answer.value))


def _ranking(
    gathered: Gathered, case: Case, answer: Answer, hint: Value | None
) -> Iterator[tuple[str, Label | str]]:
    above = _above(answer.value)
    if above is None:
        yield "", "without a rank for both of the item's first two replies"
        return
    accepted = (_above(value) for value in case.accepted)
    yield (
        "",
        Label(
            answer,
            case.external_id,
            above,
            gold=tuple(one for one in accepted if one is not None),
            left=_side(int(answer.order.index(1) < answer.order.index(0))),
            longer=_longer(case),
            suggestion=None if hint is None else _above(hint),
        ),
    )


def _likert(
    gathered: Gathered, case: Case, answer: Answer, hint: Value | None
) -> Iterator[tuple[str, Label | str]]:
    gold = tuple(value["score"] for value in case.accepted)
    suggested = None if hint is None else hint.get("score")
    yield (
        "",
        Label(answer, case.external_id, answer.value["score"], gold=gold, suggestion=suggested),
    )


def _ratings(
    gathered: Gathered, case: Case, answer: Answer, hint: Value | None
) -> Iterator[tuple[str, Label | str]]:
    work = gathered.work
    assert isinstance(work, Ratings)
    for one in work.dimensions:
        score = answer.value["scores"].get(one.name)
        if score is None:
            yield one.name, f"answered `does not apply` to {one.name}"
            continue
        golds = (value.get("scores", {}).get(one.name) for value in case.accepted)
        yield (
            one.name,
            Label(
                answer,
                case.external_id,
                score,
                gold=tuple(gold for gold in golds if gold is not None),
                suggestion=None if hint is None else hint.get("scores", {}).get(one.name),
            ),
        )


def _binary(
    gathered: Gathered, case: Case, answer: Answer, hint: Value | None
) -> Iterator[tuple[str, Label | str]]:
    names = {True: "good", False: "bad"}
    yield (
        "",
        Label(
            answer,
            case.external_id,
            names[answer.value["good"]],
            gold=tuple(names[value["good"]] for value in case.accepted),
            suggestion=None if hint is None else names[hint["good"]],
        ),
    )


def _steps(
    gathered: Gathered, case: Case, answer: Answer, hint: Value | None
) -> Iterator[tuple[str, Label | str]]:
    if answer.value["finish"] in ("give_up", "bad_problem"):
        yield "", f"ended as {answer.value['finish']}"
        return
    for i, label in enumerate(answer.value["labels"]):
        if label is None:
            yield "", "steps that were not judged"
            continue
        golds = (_at(value.get("labels", ()), i) for value in case.accepted)
        yield (
            "",
            Label(
                answer,
                f"{case.external_id} step {i + 1}",
                label,
                gold=tuple(gold for gold in golds if gold is not None),
                suggestion=None if hint is None else _at(hint["labels"], i),
                cluster=case.external_id,
            ),
        )


def _critique(
    gathered: Gathered, case: Case, answer: Answer, hint: Value | None
) -> Iterator[tuple[str, Label | str]]:
    violates = answer.value["violates"]
    if violates is None:
        yield "", "critiques that do not say whether the principle is violated"
        return
    label = "violates" if violates else "fits"
    yield "", Label(answer, f"{case.external_id} {answer.value['principle']}", label)


_KINDS: dict[
    str, Callable[[Gathered, Case, Answer, Value | None], Iterator[tuple[str, Label | str]]]
] = {
    "pairwise": _pairwise,
    "ranking": _ranking,
    "likert": _likert,
    "ratings": _ratings,
    "binary": _binary,
    "steps": _steps,
    "critique": _critique,
}


def _preferred(value: Value) -> str:
    preferred = value.get("preferred")
    return TIE if preferred is None else _side(preferred)


def _side(index: int) -> str:
    return FIRST if index == 0 else SECOND


def signed_strength(value: Value) -> int:
    """Level of a preference: above 0 for the item's first reply, below for its second, 0 a tie."""
    level = value.get("strength") or 0
    return level if value.get("preferred") == 0 else -level


def _above(value: Value) -> str | None:
    """Whether the item's first reply is ranked above its second; None where one has no rank."""
    ranks = ranks_of(value)
    if 0 not in ranks or 1 not in ranks:
        return None
    return TIE if ranks[0] == ranks[1] else _side(int(ranks[0] > ranks[1]))


def ranks_of(value: Value) -> dict[int, int]:
    """Rank of each ranked reply, from 0 for the best."""
    return {one: rank for rank, tier in enumerate(value.get("tiers", ())) for one in tier}


def _longer(case: Case) -> str | None:
    one, two = (len(reply.text) for reply in case.replies[:2])
    return None if one == two else _side(int(two > one))


def _at(values: Sequence[Any], place: int) -> Any:
    return values[place] if place < len(values) else None
