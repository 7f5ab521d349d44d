"""One label per item out of several, with the doubt that remains: soft labels, margins, raw votes.

Aggregates lie beside the raw answers and never in their place: `votes` are everything people said,
and `disagreement` is data about the item, not noise to be removed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.feedback.tables import LabelTable
from fairlead.stats.bradley_terry import Davidson, davidson
from fairlead.stats.crowds import Convergence, Votes
from fairlead.stats.crowds import dawid_skene as fit_dawid_skene
from fairlead.stats.crowds import mace as fit_mace
from fairlead.stats.proportions import beta_posterior

Floats = NDArray[np.float64]
Weights = Mapping[str, float]
"""How much each person counts, by pseudonym; who is not listed counts one."""

TIED = 1e-9
"""Labels whose probabilities differ by less share the first place."""


@dataclass(frozen=True)
class Aggregated:
    """What a crowd said of each item, and how sure that is."""

    method: str
    items: tuple[str, ...]
    labels: tuple[str, ...]
    soft: Floats
    """[item, label] probability of each label; nan where nobody answered."""
    votes: Floats
    """[item, label] raw answers, unweighted."""
    convergence: Convergence | None = None
    """How the iteration ended; None where there was none."""
    accuracy: Mapping[str, Estimate] | None = None
    """How far each person is trusted, where the method says so."""

    @property
    def label(self) -> NDArray[np.int64]:
        """[item] number of the likeliest label; -1 where two share the first place."""
        order = np.sort(np.nan_to_num(self.soft), axis=1)
        clear = order[:, -1] - (order[:, -2] if order.shape[1] > 1 else 0.0) > TIED
        return np.where(clear, np.nan_to_num(self.soft).argmax(axis=1), -1)

    @property
    def margin(self) -> Floats:
        """[item] lead of the likeliest label over the next, in probability."""
        order = np.sort(self.soft, axis=1)
        return order[:, -1] - (order[:, -2] if order.shape[1] > 1 else 0.0)

    @property
    def disagreement(self) -> Floats:
        """[item] entropy of the raw votes in nats; 0 where all agree, nan without votes."""
        n = self.votes.sum(axis=1, keepdims=True)
        shares = np.where(n > 0, self.votes / np.maximum(n, 1), np.nan)
        return -xlogy(shares, shares).sum(axis=1)

    def rows(self) -> list[dict[str, Any]]:
        """Plain values of each answered item, for files."""
        label, margin, disagreement = self.label, self.margin, self.disagreement
        return [
            {
                "item": self.items[i],
                "label": self.labels[label[i]] if label[i] >= 0 else None,
                "soft": dict(zip(self.labels, self.soft[i].tolist(), strict=True)),
                "margin": float(margin[i]),
                "votes": dict(zip(self.labels, self.votes[i].astype(int).tolist(), strict=True)),
                "disagreement": float(disagreement[i]),
                "method": self.method,
            }
            for i in np.flatnonzero(self.votes.sum(axis=1)).tolist()
        ]


@dataclass(frozen=True)
class PairMargins:
    """Which of two replies is better and by how much, without the bias to the left."""

    aggregated: Aggregated
    margin: Floats
    """[item] strength of the first reply minus the second's, in logits."""
    error: Floats
    """[item] its standard error."""
    left: Estimate
    """Bias to the left in logits; 0 is none. Its prior alone where the order is unknown."""
    ties: Estimate | None
    converged: bool


@dataclass(frozen=True)
class Method:
    """A way from several answers to one label; called with a table of labels."""

    name: str
    fit: Callable[[Votes], "Fit"]

    def __call__(self, table: LabelTable, weights: Weights | None = None) -> Aggregated:
        """One label per item, out of everybody's first answers.

        Args:
            table: who said what.
            weights: how much each person counts.

        Raises:
            DataError: a weight is negative, not a number, or of nobody in the table.
        """
        fit = self.fit(votes_of(table, weights))
        trusted = fit.trusted
        named = None if trusted is None else dict(zip(table.people.names, trusted, strict=True))
        return _aggregated(self.name, table, fit.soft, fit.convergence, named)


class Fit(NamedTuple):
    """What a method makes of the votes."""

    soft: Floats
    """[item, label] probability of each label."""
    convergence: Convergence | None = None
    """How the iteration ended; None where there was none."""
    trusted: tuple[Estimate, ...] | None = None
    """[person] how far each is trusted, where the method says so."""


def _shares(votes: Votes) -> Fit:
    return Fit(votes.shares())


def _dawid_skene(votes: Votes) -> Fit:
    fitted = fit_dawid_skene(votes)
    # The expected number of right answers, so that the interval knows how many there were.
    right = fitted.soft[votes.items, votes.given]
    n = np.bincount(votes.people, minlength=votes.n_people).astype(float)
    hits = np.bincount(votes.people, weights=right, minlength=votes.n_people)
    trusted = map(beta_posterior, np.minimum(hits, n).tolist(), n.tolist())
    return Fit(fitted.soft, fitted.convergence, tuple(trusted))


def _mace(votes: Votes) -> Fit:
    fitted = fit_mace(votes)
    return Fit(fitted.soft, fitted.convergence, fitted.competence)


majority = Method("majority", _shares)
"""Shares of (weighted) votes."""
dawid_skene = Method("dawid_skene", _dawid_skene)
"""Posterior under Dawid and Skene's model: each person has an own table of confusions."""
mace = Method("mace", _mace)
"""Posterior under MACE: each person labels in earnest or by habit."""


def pair_margins(
    table: LabelTable,
    first: str,
    second: str,
    *,
    weights: Weights | None = None,
    prior_sd: float = 1.0,
) -> PairMargins:
    """Davidson's model with ties and a left intercept, on items that are pairs of replies.

    Each item has two replies of its own, whose strengths have a normal prior: a lone vote moves the
    soft label, but not to certainty.

    Args:
        table: pairwise answers: the first reply, the second, or the tie.
        first: name of the label for an item's first reply.
        second: the same for the second.
        weights: how much each person counts.
        prior_sd: standard deviation of a reply's strength, in logits.

    Raises:
        DataError: there are other labels than these and the tie.
    """
    used = table.first_answers()
    one, two = used.labels.code(first), used.labels.code(second)
    other = ~np.isin(used.labels.codes, (one, two, used.tie_code))
    if other.any():
        raise DataError(
            "labels that are neither of the two replies nor the tie",
            expected=", ".join(filter(None, (first, second, used.tie))),
            got=used.labels.names[int(used.labels.codes[other][0])],
        )
    unknown = used.left is None or not (used.left >= 0).any()
    # Without the order the first reply stands for the left, and the intercept is held at zero.
    left_is_first = np.ones(len(used), bool) if used.left is None else used.left != two
    a, b = 2 * used.items.codes, 2 * used.items.codes + 1
    tied = used.labels.codes == used.tie_code
    won = (used.labels.codes == one) == left_is_first
    fitted = davidson(
        np.where(left_is_first, a, b),
        np.where(left_is_first, b, a),
        np.where(tied, 0.5, won.astype(float)),
        2 * len(used.items.names),
        weights=_row_weights(used, weights),
        prior_sd=prior_sd,
        intercept_sd=1e-3 if unknown else 1.0,
    )
    numbers = np.arange(len(used.items.names))
    margin, error = fitted.difference(2 * numbers, 2 * numbers + 1)
    soft = _pair_shares(margin, fitted, one, two, used)
    return PairMargins(
        _aggregated("bradley_terry", table, soft),
        margin,
        error,
        fitted.left,
        fitted.ties,
        fitted.converged,
    )


def votes_of(table: LabelTable, weights: Weights | None = None) -> Votes:
    """The first answers as numbers, with each person's weight.

    Raises:
        DataError: a weight is negative, not a number, or of nobody in the table.
    """
    first = table.first_answers()
    return Votes(
        items=first.items.codes,
        people=first.people.codes,
        given=first.labels.codes,
        n_items=len(first.items.names),
        n_people=len(first.people.names),
        n_labels=len(first.labels.names),
        weights=_weights(table, weights),
    )


def _weights(table: LabelTable, weights: Weights | None) -> Floats | None:
    if weights is None:
        return None
    if unknown := sorted(set(weights) - set(table.people.names)):
        raise DataError("weights of people who are not in the table", got=", ".join(unknown[:8]))
    found = np.array([weights.get(name, 1.0) for name in table.people.names], dtype=np.float64)
    if not (np.isfinite(found) & (found >= 0)).all():
        raise DataError(
            "weights of people must be numbers from 0 on", got=f"{found.min():g} to {found.max():g}"
        )
    return found


def _row_weights(table: LabelTable, weights: Weights | None) -> Floats | None:
    found = _weights(table, weights)
    return None if found is None else found[table.people.codes]


def _pair_shares(margin: Floats, fitted: Davidson, one: int, two: int, table: LabelTable) -> Floats:
    logits = np.full((len(margin), len(table.labels.names)), -np.inf)
    logits[:, one], logits[:, two] = margin / 2, -margin / 2
    if fitted.ties is not None:
        logits[:, table.tie_code] = fitted.ties.value
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _aggregated(
    method: str,
    table: LabelTable,
    soft: Floats,
    convergence: Convergence | None = None,
    accuracy: Mapping[str, Estimate] | None = None,
) -> Aggregated:
    votes = table.counts()
    answered = votes.sum(axis=1, keepdims=True) > 0
    return Aggregated(
        method=method,
        items=table.items.names,
        labels=table.labels.names,
        soft=np.where(answered, soft, np.nan),
        votes=votes,
        convergence=convergence,
        accuracy=accuracy,
    )
