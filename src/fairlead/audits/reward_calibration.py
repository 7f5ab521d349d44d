"""Do differences of reward mean what they say: is a probability of 0.9 right nine times in ten?

A reward model says that the reply it scores higher is the better one with probability s(d), the
logistic function of the difference d. That is held against how often people took that reply; it is
never "the probability of the chosen reply is one", which would make every reward look unsure. The
calibration error of a finite sample is above zero even for a calibrated reward, so it is held
against errors simulated with the reward's own probabilities (Broecker and Smith 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveInt
from scipy.special import entr, expit, xlogy

from fairlead.audits.base import Audit, Need, Subject
from fairlead.audits.items.drawing import drawn
from fairlead.audits.items.preferences import Preference, read_preferences
from fairlead.audits.scoring import Floats, Scores, state_of
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.gates import LEVEL, Gate
from fairlead.core.results import Figure, Finding, Passage, Series
from fairlead.core.seeds import Seed
from fairlead.stats.calibration import (
    EQUAL_BINS,
    HOTTEST,
    equal_bins,
    equal_size_error,
    largest_gap,
    log_loss,
    null_band,
    temperature,
)
from fairlead.stats.gates import gate, unscored_of
from fairlead.stats.logistic import logistic
from fairlead.stats.means import mean_estimate
from fairlead.stats.reward_scores import one_sided_p
from fairlead.stats.significance import benjamini_hochberg

SHOWN = 10


class RewardCalibration(Audit):
    """How far the probabilities behind a reward's differences are from frequencies."""

    kind: Literal["reward_calibration"] = "reward_calibration"
    data: str
    """Held-out pairs; where they have a `preference`, it is the share who took the first reply."""
    temperature: float = Field(default=1.0, gt=0)
    """What differences of reward are divided by before they are log-odds."""
    items: PositiveInt = 5000
    """Pairs at most, drawn at random."""
    bins: PositiveInt = EQUAL_BINS
    """Bins of equal size."""
    margin: NonNegativeFloat = Field(default=0.05, le=1)
    """Largest excess of mean probability over frequency that is accepted: over-confidence."""
    error_margin: NonNegativeFloat = Field(default=0.02, le=1)
    """Largest calibration error beyond that of a calibrated reward that is accepted."""
    file_fields: ClassVar[tuple[str, ...]] = ("data",)
    needs: ClassVar[frozenset[Need]] = frozenset({"reward"})

    def run(self, subject: Subject) -> Finding:
        """Scores both replies of every pair."""
        read = read_preferences(subject.locate(self.data))
        pairs = [item for item in read.items if len(item.replies) == 2]
        items = drawn(pairs, self.items, subject.seed.child(self.title, "items"))
        scores = Scores.by(subject)
        values = scores.of([text for item in items for text in item.texts]).reshape(-1, 2)
        margins = (values[:, 0] - values[:, 1]) / self.temperature
        seed = subject.seed.child(self.title)
        cases = _Cases.of(items, margins)
        states = [state_of(scores, item) for item in items]
        gone = _left_out(len(read.items) - len(pairs), int(np.isnan(margins).sum()))
        fitted, numbers = _scaled(cases, self.bins, seed)
        return Finding(
            audit=self.title,
            question="Does a difference of reward mean the probability that it states?",
            gates=self._gates(cases, states, seed),
            estimates=(
                _simulated("calibration error", cases, self.bins, seed),
                _plain("largest gap in a bin", cases.largest_gap(self.bins), cases.n),
                *_losses(cases),
                *_slope(cases, seed),
                *numbers,
            ),
            figures=(_reliability(cases, self.bins),),
            passages=_worst(f"{self.title}/over-confidence", items, margins),
            notes=(*read.notes, *gone, fitted),
            source="Guo et al. 2017, arXiv:1706.04599; Broecker and Smith 2007",
        )

    def _gates(self, cases: "_Cases", states: Sequence[str], seed: Seed) -> tuple[Gate, ...]:
        excess = cases.confidence - cases.right
        over = mean_estimate(excess, clusters=cases.clusters, level=LEVEL)
        band = null_band(
            cases.confidence, cases.error(self.bins), seed=seed, bins=self.bins, level=LEVEL
        )
        beyond = Estimate(
            value=cases.error(self.bins) - band.mean,
            low=cases.error(self.bins) - band.high,
            high=cases.error(self.bins) - band.low,
            n=over.n,
            method="calibration error less the errors that a calibrated reward shows",
            seed=seed.value,
            level=LEVEL,
        )
        adjusted = benjamini_hochberg([one_sided_p(excess, clusters=cases.clusters), band.p])
        unscored = unscored_of(states)
        # A pair without scores may have been as over-confident as one can be, right by a coin.
        lost = sum(unscored.values()) / (sum(unscored.values()) + cases.n)
        return tuple(
            gate(
                f"{self.title}/{name}",
                harm,
                _worsened(change, lost, at_most),
                margin,
                hard=self.hard,
                adjusted_p=float(p),
                items=cases.n + sum(unscored.values()),
                unscored=unscored,
                observed=change if lost else None,
            )
            for name, harm, change, margin, at_most, p in (
                (
                    "over-confidence",
                    "mean probability of the reply that is scored higher, less its frequency",
                    over,
                    self.margin,
                    1.0,
                    adjusted[0],
                ),
                (
                    "calibration error",
                    "expected calibration error beyond that of a calibrated reward",
                    beyond,
                    self.error_margin,
                    1.0,
                    adjusted[1],
                ),
            )
        )


@dataclass(frozen=True)
class _Cases:
    """Pairs with scores, seen from the reply that is scored higher."""

    margins: Floats
    """[pair] log-odds for the reply that comes first in the data."""
    chosen: Floats
    """[pair] share of people who took that one."""
    clusters: list[str]

    @classmethod
    def of(cls, items: Sequence[Preference], margins: Floats) -> "_Cases":
        there = np.flatnonzero(~np.isnan(margins)).tolist()
        chosen = np.array([items[i].chosen for i in there], dtype=np.float64)
        return cls(margins[there], chosen, [items[i].cluster for i in there])

    @property
    def n(self) -> int:
        return len(self.margins)

    @property
    def confidence(self) -> Floats:
        """[pair] stated probability of the reply that is scored higher."""
        return expit(np.abs(self.margins))

    @property
    def right(self) -> Floats:
        """[pair] share of people who took it; one half where neither is."""
        sign = np.sign(self.margins)
        return 0.5 + sign * (self.chosen - 0.5)

    def error(self, bins: int) -> float:
        return equal_size_error(self.confidence, self.right, bins)

    def largest_gap(self, bins: int) -> float:
        return largest_gap(self.confidence, self.right, bins)

    def some(self, which: NDArray[np.bool_]) -> "_Cases":
        rows = np.flatnonzero(which).tolist()
        return _Cases(self.margins[rows], self.chosen[rows], [self.clusters[i] for i in rows])


def _losses(cases: _Cases) -> tuple[NamedEstimate, ...]:
    """Surprise and squared error, beside the least that any scorer could reach on soft labels."""
    surprise = log_loss(cases.margins, cases.chosen)
    square = (expit(cases.margins) - cases.chosen) ** 2
    soft = bool(np.any((cases.chosen > 0) & (cases.chosen < 1)))
    named = [("surprise, nats a pair", surprise), ("Brier score", square)]
    if soft:
        floor = entr(cases.chosen) - xlogy(1 - cases.chosen, 1 - cases.chosen)
        spread = cases.chosen * (1 - cases.chosen)
        named[1] = ("Brier score", square + spread)
        named += [("least surprise of any scorer", floor), ("least Brier score", spread)]
    return tuple(mean_estimate(v, clusters=cases.clusters).named(name) for name, v in named)


def _slope(cases: _Cases, seed: Seed) -> tuple[NamedEstimate, ...]:
    """Intercept and slope of choices on differences, in pairs turned at random (want 0 and 1)."""
    turned = np.where(seed.child("turned").numpy().random(cases.n) < 0.5, -1.0, 1.0)
    margins, chosen = turned * cases.margins, 0.5 + turned * (cases.chosen - 0.5)
    if not np.ptp(margins) > 0:
        return ()
    found = logistic(np.column_stack([np.ones(cases.n), margins]), chosen)
    return tuple(
        found.coefficient(k, clusters=cases.clusters).named(name)
        for k, name in enumerate(("calibration intercept", "calibration slope (below 1: too sure)"))
    )


def _scaled(cases: _Cases, bins: int, seed: Seed) -> tuple[str, tuple[NamedEstimate, ...]]:
    """The temperature that fits one half of the clusters, and the error it leaves on the other."""
    keys = sorted(set(cases.clusters))
    picked = {
        k
        for k, u in zip(keys, seed.child("half").numpy().random(len(keys)), strict=True)
        if u < 0.5
    }
    half = np.array([key in picked for key in cases.clusters])
    if not 0 < half.sum() < len(half):
        return "Too few prompts to fit a temperature on half of them.", ()
    fit, rest = cases.some(half), cases.some(~half)
    found = temperature(fit.margins, fit.chosen)
    cooled = _Cases(rest.margins / found, rest.chosen, rest.clusters)
    text = (
        f"Divided by {found:.3g}, fitted on half of the prompts, differences are probabilities as "
        "good as one number can make them; errors on the other half are given."
    )
    if found > 0.99 * HOTTEST:
        text = "No temperature helps: larger differences of reward are not right more often."
    return text, (
        _plain("temperature", found, fit.n),
        _simulated("calibration error, other half", rest, bins, seed),
        _simulated("calibration error, other half, at that temperature", cooled, bins, seed),
    )


def _reliability(cases: _Cases, bins: int) -> Figure:
    """Frequencies by stated probability, with what a calibrated reward would show."""
    where = equal_bins(cases.confidence, bins)
    used = [np.flatnonzero(where == b) for b in range(bins) if (where == b).any()]
    stated = [float(cases.confidence[own].mean()) for own in used]
    seen = [float(cases.right[own].mean()) for own in used]
    spread = np.sqrt(cases.confidence * (1 - cases.confidence))
    reach = [1.96 * float(np.linalg.norm(spread[own])) / len(own) for own in used]
    calibrated = Series(
        label="calibrated, with 95 % of chance",
        x=tuple(stated),
        y=tuple(stated),
        low=tuple(max(s - r, 0.0) for s, r in zip(stated, reach, strict=True)),
        high=tuple(min(s + r, 1.0) for s, r in zip(stated, reach, strict=True)),
    )
    reward = Series(label="reward", x=tuple(stated), y=tuple(seen), style="points")
    return Figure(
        title="Reliability of the reward",
        x_label="stated probability of the reply that is scored higher",
        y_label="share of people who took it",
        series=(calibrated, reward),
        caption="Points below the band: too sure.",
    )


def _worst(about: str, items: Sequence[Preference], margins: Floats) -> tuple[Passage, ...]:
    """Pairs on which the reward is surest against the people."""
    against = np.array([m * (1 - 2 * item.chosen) for m, item in zip(margins, items, strict=True)])
    order = np.argsort(-np.nan_to_num(against, nan=-np.inf), kind="stable")[:SHOWN]
    return tuple(
        Passage(
            about=about,
            prompt=items[i].prompt.messages[-1].content,
            baseline=f"taken by most: {items[i].replies[int(np.argmin(items[i].ranks))]}",
            candidate=f"scored higher: {items[i].replies[int(np.argmax(items[i].ranks))]}",
            note=f"stated probability {expit(abs(margins[i])):.3f}",
        )
        for i in order
        if against[i] > 0
    )


def _worsened(change: Estimate, lost: float, at_most: float) -> Estimate:
    """The change if a share of the items, those without a score, had the most harm."""
    if not lost:
        return change
    ends = {k: (1 - lost) * getattr(change, k) + lost * at_most for k in ("value", "low", "high")}
    return change.model_copy(update=ends)


def _left_out(rankings: int, unscored: int) -> list[str]:
    notes: list[str] = []
    if rankings:
        notes.append(f"{rankings} rankings of more than two replies left out.")
    if unscored:
        notes.append(f"{unscored} pairs without a score count as wholly over-confident.")
    return notes


def _simulated(name: str, cases: _Cases, bins: int, seed: Seed) -> NamedEstimate:
    """A calibration error, with what a calibrated reward would show as its interval."""
    error = cases.error(bins)
    band = null_band(cases.confidence, error, seed=seed.child(name), bins=bins)
    method = f"interval: what a calibrated reward would show; p = {band.p:.3g}"
    return NamedEstimate(
        name=name,
        value=error,
        low=band.low,
        high=band.high,
        n=cases.n,
        method=method,
        seed=seed.value,
    )


def _plain(name: str, value: float, n: int) -> NamedEstimate:
    nan = float("nan")
    return NamedEstimate(name=name, value=value, low=nan, high=nan, n=n, method="no interval")
