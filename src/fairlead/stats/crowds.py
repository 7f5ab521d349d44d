"""What was meant, from what several fallible people said: Dawid-Skene and a MACE-like model.

Both alternate between the items' posterior and the people's parameters, start from the shares of
votes, and report whether they converged. People only ever lose weight; no label is left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, xlogy

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.stats.arrays import same_length
from fairlead.stats.proportions import beta_posterior

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Votes:
    """Labels by several people, one row each."""

    items: Codes
    """[row] item number from 0."""
    people: Codes
    """[row] number of the person, from 0."""
    given: Codes
    """[row] label number from 0."""
    n_items: int
    n_people: int
    n_labels: int
    weights: Floats | None = None
    """[person] how much each person counts, from 0 on; None for one each."""

    def __post_init__(self) -> None:
        same_length(items=self.items, people=self.people, given=self.given)
        for name, numbers, size in (
            ("items", self.items, self.n_items),
            ("people", self.people, self.n_people),
            ("labels", self.given, self.n_labels),
        ):
            if len(numbers) and not 0 <= numbers.min() <= numbers.max() < size:
                raise DataError(
                    f"numbers of {name} out of range",
                    expected=f"0 to {size - 1}",
                    got=f"{numbers.min()} to {numbers.max()}",
                )

    @property
    def row_weights(self) -> Floats:
        """[row] how much each label counts."""
        return np.ones(len(self.items)) if self.weights is None else self.weights[self.people]

    def counts(self) -> Floats:
        """[item, label] weighted votes."""
        return self.sums(self.items, self.n_items, np.eye(self.n_labels)[self.given])

    def shares(self) -> Floats:
        """[item, label] shares of votes; equal shares where nobody voted."""
        counts = self.counts()
        total = counts.sum(axis=1, keepdims=True)
        even = np.full_like(counts, 1 / self.n_labels)
        return np.where(total > 0, counts / np.where(total > 0, total, 1), even)

    def sums(self, keys: Codes, size: int, rows: Floats) -> Floats:
        """[key, d] weighted sums of rows [row, d]."""
        added = np.zeros((size, rows.shape[1]))
        np.add.at(added, keys, rows * self.row_weights[:, None])
        return added


@dataclass(frozen=True)
class Convergence:
    """How an iteration ended."""

    converged: bool
    iterations: int
    change: float
    """Largest change of an item's probability in the last iteration."""
    objective: float
    """Log posterior (EM), or the change as above where the method has none."""

    def __str__(self) -> str:
        state = "converged" if self.converged else "did NOT converge"
        return f"{state} after {self.iterations} iterations, last change {self.change:.1e}"


@dataclass(frozen=True)
class DawidSkene:
    """Items' and people's parameters."""

    soft: Floats
    """[item, label] posterior of the true label."""
    confusion: Floats
    """[person, true label, given label] how often a person gives a label to items of each kind."""
    shares: Floats
    """[label] how common each true label is."""
    convergence: Convergence

    def accuracy(self) -> Floats:
        """[person] chance that a person's label is the true one, over items of the whole set."""
        right = np.diagonal(self.confusion, axis1=1, axis2=2)
        return right @ self.shares


@dataclass(frozen=True)
class Mace:
    """Items' posterior, and how often each person labels in earnest."""

    soft: Floats
    """[item, label] posterior of the true label."""
    competence: tuple[Estimate, ...]
    """[person] share of labels that the person gave in earnest, with a credible interval."""
    habits: Floats
    """[person, label] what a person answers when not looking."""
    convergence: Convergence


def dawid_skene(
    votes: Votes,
    *,
    diagonal: float = 1.0,
    smoothing: float = 0.5,
    tolerance: float = 1e-6,
    most_iterations: int = 500,
) -> DawidSkene:
    """Every person has a table of confusions; EM finds it together with the true labels.

    Dawid and Skene 1979, with Dirichlet priors on the rows of the tables: `smoothing` on every
    label and `diagonal` more on the right one. The priors keep people with few labels sensible and
    the labels from changing places.

    Args:
        votes: who said what.
        diagonal: labels that everybody is believed to have got right beforehand, per true label.
        smoothing: labels of each kind added to every row; close to 0 gives maximum likelihood.
        tolerance: largest change of a probability at which EM stops.
        most_iterations: where EM stops in any case.
    """
    k = votes.n_labels
    prior = np.full((k, k), smoothing) + diagonal * np.eye(k)
    soft = votes.shares()
    confusion, shares, objective, change = np.empty(0), np.empty(0), -np.inf, np.inf
    iteration = 0
    while change > tolerance and iteration < most_iterations:
        iteration += 1
        confusion, shares = _confusions(votes, soft, prior), _prevalence(soft, smoothing)
        evidence = votes.sums(
            votes.items, votes.n_items, _log(confusion)[votes.people, :, votes.given]
        )
        joint = evidence + _log(shares)
        top = joint.max(axis=1, keepdims=True)
        scale = np.exp(joint - top).sum(axis=1, keepdims=True)
        updated = np.exp(joint - top) / scale
        objective = float(
            (top + np.log(scale)).sum()
            + xlogy(prior, confusion).sum()
            + smoothing * _log(shares).sum()
        )
        change = float(np.abs(updated - soft).max(initial=0))
        soft = updated
    done = Convergence(change <= tolerance, iteration, change, objective)
    return DawidSkene(soft, confusion, shares, done)


def mace(
    votes: Votes,
    *,
    prior: tuple[float, float] = (2.0, 1.0),
    smoothing: float = 1.0,
    tolerance: float = 1e-6,
    most_iterations: int = 500,
) -> Mace:
    """A person either gives the true label or answers by habit; variational Bayes tells which.

    MACE (Hovy et al. 2013, "Learning whom to trust with MACE"): person j labels in earnest with
    probability c_j ~ Beta(prior), else draws from h_j ~ Dirichlet(smoothing / labels). Started from
    the shares of votes, not at random, so the result depends on the data only.

    Args:
        votes: who said what.
        prior: Beta counts of labels in earnest and not.
        smoothing: Dirichlet count of habits, spread over the labels.
        tolerance: largest change of a probability at which the iteration stops.
        most_iterations: where it stops in any case.
    """
    k, rows = votes.n_labels, np.arange(len(votes.items))
    soft = votes.shares()
    change, iteration = np.inf, 0
    earnest = np.full((votes.n_people, 2), prior)
    habits = np.full((votes.n_people, k), 1 / k)
    in_earnest = soft[votes.items, votes.given]
    while change > tolerance and iteration < most_iterations:
        iteration += 1
        spread = np.stack([in_earnest, 1 - in_earnest], 1)
        earnest = votes.sums(votes.people, votes.n_people, spread) + np.array(prior)
        by_habit = np.eye(k)[votes.given] * (1 - in_earnest)[:, None]
        habits = votes.sums(votes.people, votes.n_people, by_habit) + smoothing / k
        looked = _geometric(earnest)[votes.people]
        guess = _geometric(habits)[votes.people, votes.given] * looked[:, 1]
        # Chance of the given label where it is the true one, over where it is not.
        gain = np.zeros((len(rows), k))
        gain[rows, votes.given] = np.log1p(looked[:, 0] / guess)
        joint = votes.sums(votes.items, votes.n_items, gain)
        updated = np.exp(joint - joint.max(axis=1, keepdims=True))
        updated /= updated.sum(axis=1, keepdims=True)
        right = updated[votes.items, votes.given]
        in_earnest = right * looked[:, 0] / (looked[:, 0] + guess)
        change = float(np.abs(updated - soft).max(initial=0))
        soft = updated
    competence = tuple(_competence(a - prior[0], b - prior[1], prior) for a, b in earnest)
    done = Convergence(change <= tolerance, iteration, change, -change)
    return Mace(soft, competence, habits / habits.sum(axis=1, keepdims=True), done)


def _confusions(votes: Votes, soft: Floats, prior: Floats) -> Floats:
    """[person, true, given] from expected counts, plus the prior."""
    k = votes.n_labels
    counts = np.zeros((votes.n_people, k, k))
    believed = soft[votes.items] * votes.row_weights[:, None]
    for label in range(k):
        own = votes.given == label
        np.add.at(counts[:, :, label], votes.people[own], believed[own])
    counts += prior
    return counts / counts.sum(axis=2, keepdims=True)


def _prevalence(soft: Floats, smoothing: float) -> Floats:
    shares = soft.sum(axis=0) + smoothing
    return shares / shares.sum()


def _log(shares: Floats) -> Floats:
    return np.log(np.maximum(shares, 1e-300))


def _geometric(counts: Floats) -> Floats:
    """exp(E[log p]) under a Dirichlet (or Beta) with these counts."""
    return np.exp(digamma(counts) - digamma(counts.sum(axis=1, keepdims=True)))


def _competence(right: float, wrong: float, prior: tuple[float, float]) -> Estimate:
    right, wrong = max(right, 0.0), max(wrong, 0.0)
    found = beta_posterior(right, right + wrong, prior=prior)
    return found.model_copy(update={"method": f"share labelled in earnest, {found.method}"})
