"""How good a judge of pairs is: against people, against itself, and against the easy ways out.

What was not scored is counted and bounded, never taken for an opinion. Without labels by people a
judge is unvalidated, whatever its other numbers are.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.seeds import Seed
from fairlead.judges.pairwise import Outcome
from fairlead.stats.agreement import cohen_kappa
from fairlead.stats.means import mean_estimate
from fairlead.stats.prediction_powered import prediction_powered
from fairlead.stats.proportions import clustered_proportion
from fairlead.stats.resampling import bootstrap_of_sums

UNEQUAL = 30
"""Characters by which replies must differ to count as a longer and a shorter one."""
THOUSAND = 1000


@dataclass(frozen=True)
class JudgedPair:
    """A pair with what the judge made of it, and what people did where they were asked."""

    outcome: Outcome
    lengths: tuple[int, int]
    """Characters of the first and of the second reply."""
    cluster: str
    """What pairs share that are not independent: the opening prompt."""
    people: float | None = None
    """Share of people who prefer the first reply; None where nobody was asked."""
    repeats: tuple[Outcome, ...] = ()
    """Further judgements of the same pair."""


class JudgeQuality(BaseModel):
    """What is known of a judge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: int
    states: dict[str, int]
    """How many pairs ended in each state."""
    ties: dict[str, int]
    """Pairs that a measure leaves out because somebody saw no difference, by measure."""
    estimates: tuple[NamedEstimate, ...]
    missing: dict[str, str]
    """Measures that could not be made, with the reason."""
    validated: bool
    """Whether there were labels by people to compare with."""

    def __getitem__(self, name: str) -> NamedEstimate:
        """An estimate by its name."""
        return next(estimate for estimate in self.estimates if estimate.name == name)


def judge_quality(
    pairs: Sequence[JudgedPair],
    *,
    seed: Seed,
    cost: Callable[[int, int], float] | None = None,
) -> JudgeQuality:
    """Everything that these pairs say about their judge.

    Estimates, as far as the data allows (Zheng et al. 2023, arXiv:2306.05685, and Shi et al. 2024,
    arXiv:2406.07791, for position and repetition):

    * `scored`, and `ended_as_...` for every other state: share of the pairs;
    * `agreement`: same side as most people, ties aside; `agreement_if_unscored_wrong` and
      `..._right` bound it where pairs are unscored; `kappa` is Cohen's, beyond chance;
    * `prefers_first_at_least` and `..._at_most`: worst-case bounds of the share of pairs whose
      first reply wins; `prefers_first_corrected`: mean label, corrected by people's on some pairs;
    * `position_consistency`: same winner in both orders; `preference_fairness`: among the pairs
      where not, share of first places less that of second ones, 0 for none; `first_place`: mean
      probability of the place shown first;
    * `repetition_stability`: share of the most frequent verdict among repeated ones;
    * `prefers_longer`, beside `people_prefer_longer` on the same pairs;
    * `judges_apart`: largest distance between labels of two judges;
    * `tokens_per_label`, `cost_per_thousand_labels`: all tokens over scored pairs.

    Args:
        pairs: the judged pairs, all of them: unscored ones too.
        seed: of the bootstraps.
        cost: money for tokens of prompts and of answers; None where nothing is paid.

    Raises:
        DataError: there are no pairs.
    """
    if not pairs:
        raise DataError(
            "no pairs were judged, so nothing can be said about the judge",
            expected="at least one pair",
            got="none",
        )
    book = _Book(seed)
    _ended(book, pairs)
    _people(book, pairs)
    _bounds(book, pairs)
    _places(book, pairs)
    _repeats(book, pairs)
    _lengths(book, pairs)
    _expenses(book, pairs, cost)
    return JudgeQuality(
        pairs=len(pairs),
        states=dict(Counter(pair.outcome.state for pair in pairs).most_common()),
        ties=book.ties,
        estimates=tuple(book.estimates),
        missing=book.missing,
        validated=any(pair.people is not None for pair in pairs),
    )


class _Book:
    """Collects estimates, and why some are missing."""

    def __init__(self, seed: Seed) -> None:
        self.seed = seed
        self.estimates: list[NamedEstimate] = []
        self.missing: dict[str, str] = {}
        self.ties: dict[str, int] = {}

    def add(self, name: str, make: Callable[[], Estimate], *, without: str = "") -> None:
        """An estimate, or the reason why it cannot be made.

        Args:
            name: of the estimate.
            make: makes it.
            without: what is missing for it; empty where nothing is.
        """
        if without:
            self.missing[name] = without
            return
        try:
            self.estimates.append(make().named(name))
        except DataError as error:
            self.missing[name] = f"{error.what} ({error.got})" if error.got else error.what

    def share(self, name: str, hits: Iterable[bool], pairs: Sequence[JudgedPair], why: str) -> None:
        """The share of pairs for which something holds."""
        values, clusters = list(hits), [pair.cluster for pair in pairs]
        self.add(
            name, lambda: clustered_proportion(values, clusters), without="" if values else why
        )


def _side(preference: float) -> int:
    """1 for the first reply, -1 for the second, 0 for neither."""
    return (preference > 0.5) - (preference < 0.5)


def _label(pair: JudgedPair) -> float:
    assert pair.outcome.label is not None
    return pair.outcome.label


def _scored(pairs: Sequence[JudgedPair]) -> list[JudgedPair]:
    return [pair for pair in pairs if pair.outcome.label is not None]


def _ended(book: _Book, pairs: Sequence[JudgedPair]) -> None:
    states = dict.fromkeys(["scored", *(pair.outcome.state for pair in pairs)])
    for state in states:
        name = "scored" if state == "scored" else f"ended_as_{state}"
        book.share(name, [pair.outcome.state == state for pair in pairs], pairs, "")


# People


def _people(book: _Book, pairs: Sequence[JudgedPair]) -> None:
    nobody = "no pair was labelled by people"
    labelled = [pair for pair in pairs if pair.people is not None]
    decided = [pair for pair in labelled if _side(pair.people or 0.0)]
    scored = [pair for pair in _scored(decided) if _side(_label(pair))]
    book.ties["agreement"] = len(labelled) - len(decided) + len(_scored(decided)) - len(scored)
    agrees = {id(pair): _side(_label(pair)) == _side(pair.people or 0.0) for pair in scored}
    book.share("agreement", agrees.values(), scored, nobody if not labelled else "all ties")
    for name, otherwise in (("wrong", False), ("right", True)):
        # A label of one half is an opinion: half right at best, here at worst.
        hits = [
            agrees.get(id(pair), otherwise if pair.outcome.label is None else False)
            for pair in decided
        ]
        book.share(f"agreement_if_unscored_{name}", hits, decided, nobody)
    _kappa(book, scored, nobody)
    _corrected(book, pairs)


def _kappa(book: _Book, scored: Sequence[JudgedPair], nobody: str) -> None:
    judge = [int(_side(_label(pair)) > 0) for pair in scored]
    people = [int(_side(pair.people or 0.0) > 0) for pair in scored]
    if not scored:
        book.missing["kappa"] = nobody
        return
    found = cohen_kappa(judge, people, 2, seed=book.seed.child("kappa"))
    if found.value is None or found.low is None or found.high is None:
        book.missing["kappa"] = found.why
        return
    fields = found.model_dump(exclude={"name", "why"})
    book.add("kappa", lambda: Estimate(**fields))


def _corrected(book: _Book, pairs: Sequence[JudgedPair]) -> None:
    """Prediction-powered inference (Angelopoulos et al. 2023, arXiv:2301.09633)."""
    scored = _scored(pairs)
    labels = [_label(pair) for pair in scored]
    both = [(_label(pair), pair.people) for pair in scored if pair.people is not None]
    enough = len(both) > 1
    book.add(
        "prefers_first_corrected",
        lambda: prediction_powered(labels, [f for f, _ in both], [y for _, y in both]),
        without="" if enough else "fewer than two scored pairs were labelled by people",
    )


def _bounds(book: _Book, pairs: Sequence[JudgedPair]) -> None:
    """Of the share whose first reply wins, whatever the unscored are (Manski 1989)."""
    for name, otherwise in (("at_least", 0.0), ("at_most", 1.0)):
        labels = [otherwise if p.outcome.label is None else p.outcome.label for p in pairs]
        clusters = [pair.cluster for pair in pairs]
        book.add(f"prefers_first_{name}", lambda v=labels, c=clusters: mean_estimate(v, clusters=c))


# Itself


def _places(book: _Book, pairs: Sequence[JudgedPair]) -> None:
    known = [(pair, pair.outcome.places) for pair in pairs]
    both = [(pair, places) for pair, places in known if places is not None]
    none = "no pair was judged in both orders"
    sides = [(pair, _side(one), _side(other)) for pair, (one, other) in both]
    clear = [(pair, one, other) for pair, one, other in sides if one and other]
    book.ties["position_consistency"] = len(sides) - len(clear)
    book.share(
        "position_consistency",
        [one != other for _, one, other in clear],
        [pair for pair, *_ in clear],
        none if not both else "every pair was a tie in one of its orders",
    )
    torn = [(pair, one) for pair, one, other in clear if one == other]
    book.add(
        "preference_fairness",
        lambda: _centred(
            clustered_proportion([one > 0 for _, one in torn], [pair.cluster for pair, _ in torn])
        ),
        without="" if torn else "no pair had different winners in its two orders",
    )
    book.add(
        "first_place",
        lambda: mean_estimate(
            [sum(places) / 2 for _, places in both], clusters=[pair.cluster for pair, _ in both]
        ),
        without="" if both else none,
    )


def _centred(share: Estimate) -> Estimate:
    """A share as the distance between two: from -1 over 0 for one half to 1."""
    ends = {name: 2 * getattr(share, name) - 1 for name in ("value", "low", "high")}
    return share.model_copy(update=ends)


def _repeats(book: _Book, pairs: Sequence[JudgedPair]) -> None:
    stable: list[float] = []
    clusters: list[str] = []
    for pair in pairs:
        labels = [o.label for o in (pair.outcome, *pair.repeats) if o.label is not None]
        if len(labels) > 1:
            sides = Counter(map(_side, labels))
            stable.append(max(sides.values()) / len(labels))
            clusters.append(pair.cluster)
    book.add(
        "repetition_stability",
        lambda: mean_estimate(stable, clusters=clusters),
        without="" if stable else "no pair was judged more than once",
    )
    apart = [(p, d) for p in pairs if (d := p.outcome.disagreement) is not None]
    book.add(
        "judges_apart",
        lambda: mean_estimate([d for _, d in apart], clusters=[p.cluster for p, _ in apart]),
        without="" if apart else "no pair was decided by several judges",
    )


# Easy ways out


def _lengths(book: _Book, pairs: Sequence[JudgedPair]) -> None:
    unequal = [p for p in _scored(pairs) if abs(p.lengths[0] - p.lengths[1]) > UNEQUAL]
    decided = [p for p in unequal if _side(_label(p))]
    book.ties["prefers_longer"] = len(unequal) - len(decided)
    none = f"no scored pair differs by more than {UNEQUAL} characters"
    book.share("prefers_longer", [_longer(p, _label(p)) for p in decided], decided, none)
    asked = [p for p in decided if p.people is not None and _side(p.people)]
    hits = [_longer(p, p.people or 0.0) for p in asked]
    book.share("people_prefer_longer", hits, asked, "people labelled no such pair")


def _longer(pair: JudgedPair, preference: float) -> bool:
    """Whether a preference is for the longer reply."""
    return (_side(preference) > 0) == (pair.lengths[0] > pair.lengths[1])


# Costs


def _expenses(
    book: _Book, pairs: Sequence[JudgedPair], cost: Callable[[int, int], float] | None
) -> None:
    nothing = "" if _scored(pairs) else "no pair was scored"
    scored = [float(pair.outcome.label is not None) for pair in pairs]
    bills = [(p.outcome.prompt_tokens, p.outcome.completion_tokens) for p in pairs]
    per_label: dict[str, tuple[list[float], str]] = {
        "tokens_per_label": ([float(sum(bill)) for bill in bills], nothing),
        "cost_per_thousand_labels": (
            [THOUSAND * cost(*bill) for bill in bills] if cost else [],
            nothing if cost else "no price is set",
        ),
    }
    for name, (values, without) in per_label.items():
        rows = list(zip(values, scored, strict=False))
        book.add(name, lambda n=name, r=rows: _ratio(r, book.seed.child(n)), without=without)


def _ratio(rows: Any, seed: Seed) -> Estimate:
    """Sum of the first column over that of the second."""

    def of_sums(sums: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return sums[..., 0] / sums[..., 1]

    return bootstrap_of_sums(of_sums, rows, seed=seed)
