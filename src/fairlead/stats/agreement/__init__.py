"""How far people (or judges) agree who labelled the same items, beyond what chance would give.

Every coefficient comes with a bootstrap interval over items, and where it is undefined it says why:
a corpus with one label only has no agreement beyond chance, neither 1 nor nan.
"""

from fairlead.stats.agreement.coefficient import Coefficient
from fairlead.stats.agreement.counts import (
    Level,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
    tables,
)
from fairlead.stats.agreement.pairs import (
    PairOfPeople,
    Weights,
    cohen_kappa,
    mean_pairwise_kappa,
    pairwise_kappas,
)
from fairlead.stats.agreement.rankings import rank_agreement

__all__ = [
    "Coefficient",
    "Level",
    "PairOfPeople",
    "Weights",
    "cohen_kappa",
    "fleiss_kappa",
    "krippendorff_alpha",
    "mean_pairwise_kappa",
    "pairwise_kappas",
    "percent_agreement",
    "rank_agreement",
    "tables",
]
