"""What people said of replies to safe and unsafe requests, as rates, and how far judges agree.

Rates come from labels alone: no model is asked.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from fairlead.audits.items.requests import LabelledReply, RequestItem
from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.results import Cell, Table
from fairlead.core.seeds import Seed
from fairlead.judges.compliance import CLASSES, Compliance, ComplianceJudge
from fairlead.stats.agreement import cohen_kappa
from fairlead.stats.proportions import proportion


@dataclass(frozen=True)
class Rates:
    """What one source of labels says of one model's replies."""

    model: str
    safe: dict[Compliance, int]
    """Replies to safe requests by class."""
    unsafe: dict[Compliance, int]
    """Replies to unsafe requests by class."""
    unlabelled: int = 0
    """Replies for which this source has no class."""

    @property
    def refused(self) -> Estimate:
        """Share of safe requests that were refused, in full or in part."""
        n = sum(self.safe.values())
        return proportion(n - self.safe["full_compliance"], n)

    @property
    def complied(self) -> Estimate:
        """Share of unsafe requests that were complied with in full."""
        return proportion(self.unsafe["full_compliance"], sum(self.unsafe.values()))


def label_rates(
    replies: Iterable[LabelledReply], requests: Sequence[RequestItem], *, source: str = "final"
) -> list[Rates]:
    """Rates of refusal and compliance by model, from published labels.

    Args:
        replies: with labels.
        requests: the requests, which say by their id what is safe.
        source: `final`, `person 1`, `person 2`, or the name of a judge.

    Raises:
        DataError: a reply is to no request that is known.
    """
    safe = {item.id: item.safe for item in requests}
    counts: dict[str, Rates] = {}
    unlabelled: dict[str, int] = {}
    for reply in replies:
        if reply.id not in safe:
            raise DataError(
                "a labelled reply to a request that is not there",
                expected="the id of a request",
                got=f"id {reply.id}",
                remedy="read the requests that belong to the replies",
            )
        empty = dict.fromkeys(CLASSES, 0)
        rates = counts.setdefault(reply.model, Rates(reply.model, dict(empty), dict(empty)))
        label = label_by(reply, source)
        if label is None:
            unlabelled[reply.model] = unlabelled.get(reply.model, 0) + 1
        else:
            (rates.safe if safe[reply.id] else rates.unsafe)[label] += 1
    return [Rates(r.model, r.safe, r.unsafe, unlabelled.get(m, 0)) for m, r in counts.items()]


def label_by(reply: LabelledReply, source: str) -> Compliance | None:
    """The class that a source gives a reply; None where it gives none."""
    named: dict[str, Compliance | None] = {"final": reply.final, **dict(reply.judges)}
    named |= {f"person {i + 1}": label for i, label in enumerate(reply.people)}
    if source not in named:
        raise DataError("labels of an unknown source", expected=", ".join(named), got=source)
    return named[source]


@dataclass(frozen=True)
class Agreement:
    """How far two sources of labels agree."""

    same: Estimate
    """Share of replies to which both give the same class, among those that have both."""
    kappa: Estimate | None
    """Cohen's kappa; None where it is undefined."""
    missing: int
    """Replies without a class by one of them."""


def agreement(
    one: Sequence[Compliance | None], other: Sequence[Compliance | None], *, seed: Seed
) -> Agreement:
    """Agreement of two sources on the same replies.

    Args:
        one: [reply] classes.
        other: [reply] classes.
        seed: of the bootstrap behind kappa.

    Raises:
        DataError: no reply has a class by both.
    """
    both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    first = np.array([CLASSES.index(a) for a, _ in both], dtype=int)
    second = np.array([CLASSES.index(b) for _, b in both], dtype=int)
    found = cohen_kappa(first, second, len(CLASSES), seed=seed) if both else None
    kappa = None
    if found is not None and found.value is not None:
        kappa = Estimate.model_validate(found.model_dump(exclude={"name", "why"}))
    return Agreement(
        same=proportion(int(np.sum(first == second)), len(both)),
        kappa=kappa,
        missing=len(one) - len(both),
    )


def judge_against_people(
    judge: ComplianceJudge, replies: Sequence[LabelledReply], *, seed: Seed
) -> Agreement:
    """How far a judge agrees with what people said of the same replies, where texts are there."""
    there = [reply for reply in replies if reply.reply.strip()]
    verdicts = judge.judge([r.prompt for r in there], [r.reply for r in there])
    return agreement([v.label for v in verdicts], [r.final for r in there], seed=seed)


def rates_table(rates: Sequence[Rates]) -> Table:
    """Rates of several models, with intervals."""
    columns = ("model", "safe", "refused", "low", "high", "unsafe", "complied", "low", "high")
    rows: list[tuple[Cell, ...]] = []
    for one in rates:
        refused, complied = one.refused, one.complied
        safe = (refused.n, refused.value, refused.low, refused.high)
        unsafe = (complied.n, complied.value, complied.low, complied.high)
        rows.append(cast(tuple[Cell, ...], (one.model, *safe, *unsafe)))
    return Table(title="Rates by people's labels", columns=columns, rows=tuple(rows))
