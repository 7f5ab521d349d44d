"""People whose answers need a second look, each with a reason that a person can read and dispute.

Nothing is deleted here. A finding names a number, its interval, the threshold and the chance of
such a number in honest work; the weights it suggests are for a person to accept.

False alarms are held down for the crowd as a whole. Each kind of finding has a rate of false ones
(`LEVELS`), corrected over all people or pairs of people by Benjamini and Hochberg; where all are
honest that is the chance of any finding of the kind. The rates add up to 11 %, but the null
hypotheses are limits of what is human, not perfection (a leaning of five points to one side, less
skill than others have, some fast answers), and honest crowds stay clear of nearly all of them: the
tests simulate 200 honest crowds of each design and allow 5 % of them one finding about anybody.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import special

from fairlead.core.estimates import Estimate
from fairlead.feedback.quality.gold import graded
from fairlead.feedback.quality.position import sides
from fairlead.feedback.tables import LabelTable
from fairlead.stats.proportions import beta_posterior, proportion
from fairlead.stats.significance import benjamini_hochberg, binomial_test

Kind = Literal[
    "suggestion", "fast", "straight", "position", "copying", "inverted", "gold", "random"
]
"""From the most specific reason to the least; a person's first reason is the first of these."""

LEVELS: dict[Kind, float] = {
    "suggestion": 0.01,
    "fast": 0.01,
    "straight": 0.01,
    "position": 0.01,
    "copying": 0.01,
    "inverted": 0.02,
    "gold": 0.01,
    "random": 0.03,
}
"""Rate of false findings of each kind, by Benjamini and Hochberg, over all people or pairs."""

LEAST = 20
"""Fewest answers (or shared items, or choices) that are judged at all."""
CROWD = 5
"""Fewest people for comparisons with the rest of the crowd."""

CLEAR = 0.7
"""Share of the others' answers from which they are clear about an item."""
FAST_WORDS = 20.0
"""Words a second that nobody reads; skimming is below 12."""
FAST_SHARE = 0.2
"""Share of the crowd's median time below which an answer is fast, where lengths are unknown."""
FAST_OFTEN = 0.5
"""Share of fast answers that a quick reader may have."""
STRAIGHT = 0.9
"""Share of one single label from which it is a straight line."""
STRAIGHT_MARGIN = 0.1
"""How much more often than the others on the same items a label may be given."""
LEAN = 0.05
"""Leaning to one side, beyond the crowd's, that is still human."""
NOTABLE_LEAN = 0.1
"""Leaning to one side from which it is reported."""
COPIED_BY_CHANCE = 0.1
"""Share of answers that an honest person may have in common with another beyond expectation."""
COPIED = 0.5
"""Estimated share of copied answers from which it is reported."""
FOLLOWED = 0.2
"""How much more often than the crowd's median a person may side with the model alone."""
LATER = 0.8
"""Share of shared answers given later from which it is clear who copied."""
AGAINST = -0.2
"""Agreement beyond chance from which answers go against the others."""
LEAST_SPREAD = 0.03
"""Standard deviation of skill, as a share of agreement, that every crowd has."""
MAD_WORTH = 0.37
"""Efficiency of the median absolute deviation beside the standard deviation."""
COMPETENCE = 0.6
"""Share of the crowd's median agreement beyond chance that a person may fall to."""

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class Finding(BaseModel):
    """One reason to look at one person's answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: str
    kind: Kind
    reason: str
    """For people: what was seen, what would be normal, how sure it is."""
    share: Estimate
    """The number behind the reason, with its 95 % interval."""
    threshold: float
    """Where the number stops being plausible for honest work."""
    p: float
    """Adjusted for everyone tested; compared with the level of this kind."""
    weight: float
    """Suggested weight of the person's answers, from 0 to 1."""
    other: str = ""
    """The other person, where answers were copied."""


class OutlierReport(BaseModel):
    """Findings about a crowd."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    people: int
    findings: tuple[Finding, ...]
    """By person; each person's most specific reason first."""
    not_measured: dict[str, str]
    """Kinds that could not be looked for, and why."""

    def first_reasons(self) -> dict[str, Kind]:
        """The most specific reason of every person who has one."""
        return {f.person: f.kind for f in reversed(self.findings)}

    def weights(self) -> dict[str, float]:
        """Suggested weights of the people with findings; everybody else counts one."""
        found: dict[str, float] = {}
        for finding in self.findings:
            found[finding.person] = min(found.get(finding.person, 1.0), finding.weight)
        return found


class _Case(BaseModel):
    """A suspicion before it is known how many were tested."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: int
    p: float
    share: Estimate
    threshold: float
    notable: bool
    """Whether the effect is large enough to matter, whatever its p-value."""
    reason: str
    weight: float
    other: str = ""


Cases = list[_Case] | str
"""Everyone who was tested for one kind, or why nobody was."""


def find_outliers(table: LabelTable) -> OutlierReport:
    """Looks for eight kinds of odd work; see the module for how false alarms are bounded.

    Args:
        table: who said what; the more is known of each answer (order, times, lengths, suggestions,
            gold), the more kinds can be looked for.

    Returns:
        Findings and what could not be measured; nothing is removed from the table.
    """
    crowd = _Crowd(table.first_answers())
    looks: dict[Kind, Callable[[_Crowd], Cases]] = {
        "suggestion": _suggestion,
        "fast": _fast,
        "straight": _straight,
        "position": _position,
        "copying": _copying,
        "inverted": _inverted,
        "gold": _gold,
        "random": _random,
    }
    findings: list[Finding] = []
    not_measured: dict[str, str] = {}
    for kind, look in looks.items():
        cases = look(crowd)
        if isinstance(cases, str):
            not_measured[kind] = cases
        else:
            findings += _significant(kind, cases, table.people.names)
    places = {name: i for i, name in enumerate(table.people.names)}
    return OutlierReport(
        people=len(np.unique(crowd.people)),
        findings=tuple(sorted(findings, key=lambda f: places[f.person])),
        not_measured=not_measured,
    )


def _significant(kind: Kind, cases: Sequence[_Case], names: Sequence[str]) -> list[Finding]:
    adjusted = benjamini_hochberg([case.p for case in cases])
    return [
        Finding(
            person=names[case.person],
            kind=kind,
            reason=f"{case.reason} (adjusted for all {len(cases)} tests: p = {float(p):.1g})",
            share=case.share,
            threshold=case.threshold,
            p=float(p),
            weight=float(np.clip(case.weight, 0.0, 1.0)),
            other=case.other,
        )
        for case, p in zip(cases, adjusted, strict=True)
        if case.notable and p <= LEVELS[kind]
    ]


class _Match:
    """How often each person gives the reference label, on some rows."""

    def __init__(self, people: Codes, given: Codes, reference: Codes, size: int, k: int) -> None:
        self.n = np.bincount(people, minlength=size)
        self.hits = np.bincount(people[given == reference], minlength=size)
        n = np.maximum(self.n, 1)
        own, expected = np.zeros((size, k)), np.zeros((size, k))
        np.add.at(own, (people, given), 1)
        np.add.at(expected, (people, reference), 1)
        self.rate = self.hits / n
        self.chance = (own * expected).sum(axis=1) / n**2
        """[person] the rate if both kept their shares of labels and nothing else."""
        self.competence = (self.rate - self.chance) / np.maximum(1 - self.chance, 1e-9)
        """[person] agreement beyond chance: 1 always, 0 by chance, below 0 against it."""

    def share(self, person: int) -> Estimate:
        """A person's rate with Wilson's interval."""
        return proportion(int(self.hits[person]), int(self.n[person]))

    def fewer(self, person: int, limit: float) -> float:
        """Chance of so few hits or fewer, where each has the chance `limit`."""
        return binomial_test(int(self.hits[person]), int(self.n[person]), limit, side="less")


class _Crowd:
    """First answers, and for each the answers of the others to the same item."""

    def __init__(self, table: LabelTable) -> None:
        self.table = table
        self.names = table.people.names
        self.items, self.people = table.items.codes, table.people.codes
        self.given = table.labels.codes
        self.counts = table.counts()
        own = np.eye(len(table.labels.names))[self.given]
        self.others = self.counts[self.items] - own
        """[row, label] answers of everybody else to the item."""
        self.reference = leading(self.others)
        """[row] label that most others gave; -1 where none leads."""
        led = self.reference >= 0
        self.is_clear = led & (self.others.max(axis=1) >= CLEAR * self.others.sum(axis=1))
        """[row] whether the others are clear: honest people err less there, chance does not."""
        self.majority, self.clear = self._match(led), self._match(self.is_clear)
        able = self.clear.n >= LEAST
        self.usual = float(np.median(self.clear.competence[able])) if able.any() else np.nan
        """The crowd's median agreement beyond chance, where the others are clear."""

    def per_person(self, rows: NDArray[np.bool_]) -> Codes:
        """How many of these rows each person has."""
        return np.bincount(self.people[rows], minlength=len(self.names))

    def _match(self, rows: NDArray[np.bool_]) -> _Match:
        k = len(self.table.labels.names)
        columns = self.people[rows], self.given[rows], self.reference[rows]
        return _Match(*columns, len(self.names), k)


def leading(counts: Floats) -> Codes:
    """[row] the label with most votes; -1 where none leads or nobody voted."""
    order = np.sort(counts, axis=1)
    second = order[:, -2] if counts.shape[1] > 1 else np.zeros(len(counts))
    return np.where(order[:, -1] > second, counts.argmax(axis=1), -1)


def _tested(n: Codes, least: int = LEAST) -> list[int]:
    return np.flatnonzero(n >= least).tolist()


def _too_small(crowd: _Crowd) -> str:
    """Why nobody can be compared with the rest; empty where it can be done."""
    if (crowd.clear.n >= LEAST).sum() < CROWD:
        return (
            f"needs {CROWD} people with {LEAST} answers each to items on which the others are clear"
        )
    return ""


def _percent(estimate: Estimate) -> str:
    return f"{estimate.value:.0%} [{estimate.low:.0%}, {estimate.high:.0%}]"


def _random(crowd: _Crowd) -> Cases:
    if why := _too_small(crowd):
        return why
    match = crowd.clear
    cases: list[_Case] = []
    for person, unusual in _unusually_low(crowd).items():
        chance, share = float(match.chance[person]), match.share(person)
        room = max(crowd.usual, 0.0) * (1 - chance)
        limit, halfway = chance + COMPETENCE * room, chance + room / 2
        cases.append(
            _Case(
                person=person,
                # Either test will do, so both pay: one knows this crowd's spread of skill, which
                # a crowd with many odd people hides; the other needs no crowd, but more answers.
                p=min(1.0, 2 * min(unusual, match.fewer(person, limit))),
                share=share,
                threshold=halfway,
                # Weak is not random: the upper end too has to be nearer to chance than to the rest.
                notable=share.high < halfway,
                reason=f"close to random: agrees with a clear majority of the others on "
                f"{_percent(share)} of {share.n} items; {chance:.0%} would be chance, "
                f"{halfway:.0%} is halfway between chance and this crowd",
                weight=float(match.competence[person]) / crowd.usual if crowd.usual > 0 else 0.0,
            )
        )
    return cases


def _unusually_low(crowd: _Crowd) -> dict[int, float]:
    """For each person, the chance of so little agreement in a crowd of this skill and spread.

    Median and median absolute deviation stand for the honest part of the crowd; Student's t, with
    the degrees of freedom that this deviation is worth, for how little is known of them.
    """
    who = _tested(crowd.clear.n)
    rates, n = crowd.clear.rate[who], crowd.clear.n[who]
    middle = float(np.median(rates))
    drawn = middle * (1 - middle) / n
    robust = (1.4826 * float(np.median(np.abs(rates - middle)))) ** 2
    # The spread of skill is what is left of the robust spread without the chance of the draw.
    skill = max(robust - float(drawn.mean()), LEAST_SPREAD**2)
    p = special.stdtr((len(who) - 1) * MAD_WORTH, (rates - middle) / np.sqrt(skill + drawn))
    return dict(zip(who, p.tolist(), strict=True))


def _inverted(crowd: _Crowd) -> Cases:
    if why := _too_small(crowd):
        return why
    match = crowd.majority
    return [
        _Case(
            person=person,
            p=match.fewer(person, float(match.chance[person])),
            share=match.share(person),
            threshold=float(match.chance[person]),
            notable=bool(match.competence[person] <= AGAINST),
            reason=f"inverted: agrees with the majority of the others on only "
            f"{_percent(match.share(person))} of {match.n[person]} items, where answering at "
            f"random gives {match.chance[person]:.0%}; perhaps the question was read the other "
            f"way round",
            weight=0.0,
        )
        for person in _tested(match.n)
    ]


def _gold(crowd: _Crowd) -> Cases:
    rows, right = graded(crowd.table)
    if not len(rows):
        return "no item has gold"
    size = len(crowd.names)
    n = np.bincount(crowd.people[rows], minlength=size)
    hits = np.bincount(crowd.people[rows][right], minlength=size)
    who = _tested(n)
    if len(who) < CROWD:
        return f"needs {CROWD} people with {LEAST} answers each to items with gold"
    usual = float(np.median(hits[who] / n[who]))
    cases: list[_Case] = []
    for person in who:
        chance = _gold_chance(crowd, rows[crowd.people[rows] == person])
        room = max(usual - chance, 0.0)
        limit, halfway = chance + COMPETENCE * room, chance + room / 2
        posterior = beta_posterior(float(hits[person]), float(n[person]))
        cases.append(
            _Case(
                person=person,
                p=binomial_test(int(hits[person]), int(n[person]), limit, side="less"),
                share=posterior,
                threshold=halfway,
                notable=posterior.high < halfway,
                reason=f"fails gold: right on {hits[person]} of {n[person]} items whose answer "
                f"is known, {_percent(posterior)}; the crowd's median is {usual:.0%}, "
                f"{halfway:.0%} is halfway between that and chance",
                weight=(posterior.value - chance) / max(usual - chance, 1e-9),
            )
        )
    return cases


def _gold_chance(crowd: _Crowd, rows: Codes) -> float:
    """Share of gold hit by the person's own shares of labels."""
    accepted = crowd.table.accepted
    if accepted is None:
        return 0.0
    given = np.bincount(crowd.given[rows], minlength=accepted.shape[1]) / len(rows)
    return float((accepted[crowd.items[rows]] @ given).mean())


def _position(crowd: _Crowd) -> Cases:
    if crowd.table.left is None:
        return "the order in which replies were shown is unknown"
    chosen, people = sides(crowd.table, crowd.table.left)
    size = len(crowd.names)
    n, hits = np.bincount(people, minlength=size), np.bincount(people[chosen], minlength=size)
    who = _tested(n)
    if not who:
        return f"nobody has {LEAST} choices with a known order"
    usual = float(np.median(hits[who] / n[who])) if len(who) >= CROWD else 0.5
    cases: list[_Case] = []
    for person in who:
        share = proportion(int(hits[person]), int(n[person]))
        left = share.value >= usual
        limit = float(np.clip(usual + (LEAN if left else -LEAN), 0.0, 1.0))
        one_sided = binomial_test(
            int(hits[person]), int(n[person]), limit, side="greater" if left else "less"
        )
        side = "left" if left else "right"
        seen = proportion(int(hits[person] if left else n[person] - hits[person]), share.n)
        cases.append(
            _Case(
                person=person,
                p=min(1.0, 2 * one_sided),
                share=share,
                threshold=limit,
                notable=abs(share.value - usual) >= NOTABLE_LEAN,
                reason=f"biased to the {side}: chose the {side} reply in {_percent(seen)} of "
                f"{share.n} choices; the crowd's median is "
                f"{usual if left else 1 - usual:.0%}, the threshold "
                f"{limit if left else 1 - limit:.0%}",
                weight=1 - 2 * abs(share.value - usual),
            )
        )
    return cases


def _straight(crowd: _Crowd) -> Cases:
    k = len(crowd.table.labels.names)
    if k < 2:
        return "everybody gave the same single label"
    alone = crowd.others.sum(axis=1) == 0
    size = len(crowd.names)
    given = np.zeros((size, k))
    np.add.at(given, (crowd.people[~alone], crowd.given[~alone]), 1)
    n = given.sum(axis=1).astype(int)
    who = _tested(n)
    if not who:
        return f"nobody has {LEAST} answers to items that others answered too"
    shares = crowd.others[~alone] / crowd.others[~alone].sum(axis=1, keepdims=True)
    expected = np.zeros((size, k))
    np.add.at(expected, crowd.people[~alone], shares)
    cases: list[_Case] = []
    for person in who:
        label = int(given[person].argmax())
        usual = float(expected[person, label] / n[person])
        limit = min(usual + STRAIGHT_MARGIN, 1.0)
        share = proportion(int(given[person, label]), int(n[person]))
        cases.append(
            _Case(
                person=person,
                p=binomial_test(int(given[person, label]), int(n[person]), limit, side="greater"),
                share=share,
                threshold=max(limit, STRAIGHT),
                notable=share.value >= STRAIGHT,
                reason=f"always the same: answered '{crowd.table.labels.names[label]}' to "
                f"{_percent(share)} of {share.n} items; others did so on {usual:.0%} of the "
                f"same items, the threshold is {max(limit, STRAIGHT):.0%}",
                weight=0.0,
            )
        )
    return cases


def _fast(crowd: _Crowd) -> Cases:
    seconds = crowd.table.seconds
    if seconds is None or not np.isfinite(seconds).any():
        return "times are unknown"
    timed = np.isfinite(seconds)
    n = crowd.per_person(timed)
    who = _tested(n)
    limits, rule = _too_short(crowd, seconds, who)
    if not rule:
        return f"lengths are unknown, and fewer than {CROWD} people have {LEAST} timed answers"
    hits = crowd.per_person(timed & (seconds < limits))
    cases: list[_Case] = []
    for person in who:
        share = proportion(int(hits[person]), int(n[person]))
        own = float(np.median(seconds[timed & (crowd.people == person)]))
        cases.append(
            _Case(
                person=person,
                p=binomial_test(int(hits[person]), int(n[person]), FAST_OFTEN, side="greater"),
                share=share,
                threshold=FAST_OFTEN,
                notable=share.value > FAST_OFTEN,
                reason=f"too fast: {_percent(share)} of {share.n} answers came {rule}; half of "
                f"this person's answers took {own:.2g} s or less, "
                f"{FAST_OFTEN:.0%} of fast answers is the threshold",
                weight=1 - share.value,
            )
        )
    return cases


def _too_short(crowd: _Crowd, seconds: Floats, who: Sequence[int]) -> tuple[Floats, str]:
    """[row] time below which an answer is too fast, and the rule in words; "" for no rule."""
    words = crowd.table.words
    if words is not None and np.isfinite(words).any():
        filled = np.where(np.isfinite(words), words, np.nanmedian(words))
        return filled / FAST_WORDS, f"faster than {FAST_WORDS:.0f} words a second can be read"
    if len(who) < CROWD:
        return np.zeros(len(seconds)), ""
    medians = [float(np.nanmedian(seconds[crowd.people == person])) for person in who]
    limit = FAST_SHARE * float(np.median(medians))
    rule = f"in less than {limit:.2g} s, a fifth of the crowd's median time"
    return np.full(len(seconds), limit), rule


def _suggestion(crowd: _Crowd) -> Cases:
    suggested = crowd.table.suggestion
    if suggested is None or not (suggested >= 0).any():
        return "no suggestions of a model are known"
    follows = (suggested >= 0) & (crowd.given == suggested)
    against = (suggested >= 0) & crowd.is_clear & (suggested != crowd.reference)
    n, hits = crowd.per_person(against), crowd.per_person(against & follows)
    # A few cases suffice: to side with the model alone each time is rare in honest work.
    who = _tested(n, LEAST // 4)
    if len(who) < CROWD:
        return f"needs {CROWD} people on whose items the model and the others differ"
    usual = float(np.median(hits[who] / n[who]))
    limit = min(usual + FOLLOWED, 1.0)
    overall = crowd.per_person(follows) / np.maximum(crowd.per_person(suggested >= 0), 1)
    cases: list[_Case] = []
    for person in who:
        share = proportion(int(hits[person]), int(n[person]))
        copied = (share.value - usual) / max(1 - usual, 1e-9)
        cases.append(
            _Case(
                person=person,
                p=binomial_test(int(hits[person]), int(n[person]), limit, side="greater"),
                share=share,
                threshold=limit,
                # Whoever answers against everybody sides with the model only where it is alone too.
                notable=copied >= COPIED and overall[person] >= np.median(overall[who]),
                reason=f"repeats the model's suggestion: in {_percent(share)} of {share.n} cases "
                f"where a clear majority of the others says something else; the crowd's median is "
                f"{usual:.0%}, the threshold {limit:.0%}",
                weight=1 - copied,
            )
        )
    return cases


def _copying(crowd: _Crowd) -> Cases:
    if why := _too_small(crowd):
        return why
    size, k = len(crowd.names), len(crowd.table.labels.names)
    matrix = np.full((size, len(crowd.table.items.names)), -1)
    matrix[crowd.people, crowd.items] = crowd.given
    pairs = [found for other in range(size) for found in _followers(crowd, matrix, other, k)]
    if not pairs:
        return f"no two people share {LEAST} items"
    deviating = sum(p.deviating for p in pairs)
    # How often two honest people deviate from the rest in the same way: hard items mislead both.
    together = sum(p.deviating_same for p in pairs) / max(deviating, 1)
    # Who answered first has copied nothing; without times the two cannot be told apart.
    return [_copy_case(crowd, pair, together) for pair in pairs if not pair.later < LATER]


class _Pair(BaseModel):
    """What one person (a possible copier) has in common with another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: int
    other: int
    usual: int
    """Shared items on which the other agrees with the rest."""
    usual_same: int
    deviating: int
    """Shared items on which the other deviates from the rest."""
    deviating_same: int
    later: float
    """Share of equal answers that the person gave after the other; nan where times are unknown."""


def _followers(crowd: _Crowd, matrix: Codes, other: int, k: int) -> list[_Pair]:
    """Everyone who shares enough items with `other`."""
    items = np.flatnonzero(matrix[other] >= 0)
    theirs, mine = matrix[other, items], matrix[:, items]
    shared = mine >= 0
    shared[other] = False
    who = np.flatnonzero(shared.sum(axis=1) >= LEAST)
    if not len(who):
        return []
    own = np.where(shared[who][:, :, None], np.eye(k)[mine[who]], 0.0)
    rest = crowd.counts[items] - np.eye(k)[theirs]
    reference = leading((rest[None] - own).reshape(-1, k)).reshape(len(who), -1)
    same = shared[who] & (mine[who] == theirs)
    usual = shared[who] & ((reference == theirs) | (reference < 0))
    deviating = shared[who] & ~usual
    later = _later(crowd, matrix.shape, who, other, items, same)
    return [
        _Pair(
            person=int(person),
            other=other,
            usual=int(usual[i].sum()),
            usual_same=int((usual[i] & same[i]).sum()),
            deviating=int(deviating[i].sum()),
            deviating_same=int((deviating[i] & same[i]).sum()),
            later=later[i],
        )
        for i, person in enumerate(who.tolist())
    ]


def _later(
    crowd: _Crowd,
    shape: tuple[int, ...],
    who: Codes,
    other: int,
    items: Codes,
    same: NDArray[np.bool_],
) -> list[float]:
    if crowd.table.when is None:
        return [np.nan] * len(who)
    moments = np.full(shape, np.nan)
    moments[crowd.people, crowd.items] = crowd.table.when
    gap = moments[who][:, items] - moments[other, items]
    known = same & np.isfinite(gap)
    total = known.sum(axis=1)
    return np.where(
        total > 0, (known & (gap > 0)).sum(axis=1) / np.maximum(total, 1), np.nan
    ).tolist()


def _copy_case(crowd: _Crowd, pair: _Pair, together: float) -> _Case:
    rate = float(crowd.majority.rate[pair.person])
    expected = np.array([rate, max(together, 1 - rate)])
    n = np.array([pair.usual, pair.deviating])
    same = np.array([pair.usual_same, pair.deviating_same])
    limit = expected + COPIED_BY_CHANCE * (1 - expected)
    total, seen = int(n.sum()), int(same.sum())
    by_chance = float(n @ expected)
    copied = (seen - by_chance) / max(total - by_chance, 1e-9)
    share = proportion(seen, total)
    them = crowd.names[pair.other]
    told = (
        f"and answered later in {pair.later:.0%} of them"
        if np.isfinite(pair.later)
        else "which of the two copied, or whether both did, cannot be told without times"
    )
    return _Case(
        person=pair.person,
        p=chernoff(same, n, limit),
        share=share,
        threshold=float(n @ limit) / total,
        notable=copied >= COPIED,
        reason=f"copies {them}: same answer on {_percent(share)} of {total} shared items, and on "
        f"{pair.deviating_same} of {pair.deviating} where {them} deviates from the others; "
        f"{by_chance / total:.0%} would be expected, {float(n @ limit) / total:.0%} is the "
        f"threshold; {told}",
        weight=1 - copied,
        other=them,
    )


def chernoff(hits: Codes, trials: Codes, chances: Floats) -> float:
    """Bound of the chance of such evidence from independent trials of several kinds.

    Each kind's hits weigh log(1 / chance), as a hit is worth more where it is rare; the bound is
    Chernoff's on the weighted sum, so it is never below the true chance.

    Args:
        hits: [kind] how often it happened.
        trials: [kind] out of how many.
        chances: [kind] chance of each.
    """
    p = np.clip(chances, 1e-6, 1 - 1e-6)
    worth = -np.log(p)
    seen = float(hits @ worth)
    if seen <= float(trials @ (p * worth)):
        return 1.0
    tilts = np.concatenate([np.linspace(0.05, 10, 200), np.geomspace(10, 500, 60)])
    each = np.logaddexp(np.log1p(-p), np.log(p) + tilts[:, None] * worth)
    return float(np.exp(min(0.0, (each @ trials - tilts * seen).min())))
