"""How far the people of a campaign agree, with each other and with gold."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.feedback.quality.gold import GoldReport, gold_report, own_consistency
from fairlead.feedback.tables import LabelTable
from fairlead.stats.agreement import (
    Coefficient,
    Level,
    Weights,
    fleiss_kappa,
    krippendorff_alpha,
    mean_pairwise_kappa,
    pairwise_kappas,
    percent_agreement,
)


class PairAgreement(BaseModel):
    """Cohen's kappa of two people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: str
    second: str
    shared: int
    """Items that both labelled."""
    kappa: Coefficient


class AgreementReport(BaseModel):
    """All coefficients of one table of labels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: int
    people: int
    answers: int
    labels: tuple[str, ...]
    coefficients: tuple[Coefficient, ...]
    """percent, fleiss_kappa, krippendorff_alpha by level, and the means of Cohen's kappa."""
    pairs: tuple[PairAgreement, ...]
    gold: GoldReport | None
    """None where no item has gold."""
    repeats: Estimate | None
    """How often people repeat their own answer; None where nobody was asked twice."""
    left_out: dict[str, int]
    """Rows of the source that count nowhere, by reason."""

    def __getitem__(self, name: str) -> Coefficient:
        """A coefficient by its name."""
        return next(c for c in self.coefficients if c.name == name)


def measure_agreement(
    table: LabelTable,
    *,
    seed: Seed,
    ordered: bool = False,
) -> AgreementReport:
    """Percent, Fleiss, alpha and Cohen, with intervals over items; accuracy against gold.

    Labels that are numbers, and labels whose order is known, get ordinal coefficients as well;
    numbers get interval alpha. Where items belong to something (steps to a solution), intervals of
    percent, Fleiss and alpha draw those.

    Args:
        table: who said what; second answers to one item count for consistency only.
        seed: of the bootstraps.
        ordered: whether the labels are in a meaningful order.
    """
    first = table.first_answers()
    counts, values = first.counts(), table.values
    clusters = None if table.clusters is None else table.clusters.codes
    labelled = counts.sum(axis=1) > 0
    found = [
        percent_agreement(counts, seed=seed.child("percent"), clusters=clusters),
        fleiss_kappa(counts, seed=seed.child("fleiss"), clusters=clusters),
    ]
    for level in _levels(values is not None, ordered):
        found.append(
            krippendorff_alpha(
                counts, level, values=values, seed=seed.child("alpha", level), clusters=clusters
            )
        )
    codes = first.items.codes, first.people.codes, first.labels.codes
    labels = len(table.labels.names)
    weights: tuple[Weights, ...] = ("none", "linear", "quadratic")
    for weight in weights if ordered or values is not None else weights[:1]:
        found.append(
            mean_pairwise_kappa(*codes, labels, weights=weight, seed=seed.child("cohen", weight))
        )
    names = table.people.names
    return AgreementReport(
        items=int(labelled.sum()),
        people=len(np.unique(first.people.codes)),
        answers=len(first),
        labels=table.labels.names,
        coefficients=tuple(found),
        pairs=tuple(
            PairAgreement(
                first=names[p.first], second=names[p.second], shared=p.shared, kappa=p.kappa
            )
            for p in pairwise_kappas(*codes, labels, seed=seed.child("pairs"))
        ),
        gold=gold_report(table),
        repeats=own_consistency(table),
        left_out=dict(table.left_out),
    )


def _levels(numbers: bool, ordered: bool) -> tuple[Level, ...]:
    if numbers:
        return ("nominal", "ordinal", "interval")
    return ("nominal", "ordinal") if ordered else ("nominal",)
