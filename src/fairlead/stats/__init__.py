"""Intervals and tests in numpy and scipy. Never imports torch."""

from fairlead.stats.best_of_n import best_of_n, best_of_n_kl_bound, expected_best_of_n
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.stats.proportions import clustered_proportion, proportion
from fairlead.stats.resampling import bootstrap

__all__ = [
    "best_of_n",
    "best_of_n_kl_bound",
    "bootstrap",
    "clustered_proportion",
    "expected_best_of_n",
    "mean_estimate",
    "paired_difference",
    "proportion",
]
