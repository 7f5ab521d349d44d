"""Quality of labels: agreement, bias, trust, aggregation, groups and findings about people.

Takes tables of labels (`fairlead.feedback.tables`); knows neither the store nor the web.
"""

from fairlead.feedback.quality.aggregation import (
    Aggregated,
    PairMargins,
    dawid_skene,
    mace,
    majority,
    pair_margins,
)
from fairlead.feedback.quality.agreement import AgreementReport, measure_agreement
from fairlead.feedback.quality.gold import GoldReport, gold_report, own_consistency
from fairlead.feedback.quality.groups import GroupReport, by_group, group_differences
from fairlead.feedback.quality.outliers import Finding, OutlierReport, find_outliers
from fairlead.feedback.quality.position import (
    Bias,
    length_bias,
    order_flips,
    position_bias,
    tie_rate,
)
from fairlead.feedback.quality.report import QualityReport, measure_quality

__all__ = [
    "Aggregated",
    "AgreementReport",
    "Bias",
    "Finding",
    "GoldReport",
    "GroupReport",
    "OutlierReport",
    "PairMargins",
    "QualityReport",
    "by_group",
    "dawid_skene",
    "find_outliers",
    "gold_report",
    "group_differences",
    "length_bias",
    "mace",
    "majority",
    "measure_agreement",
    "measure_quality",
    "order_flips",
    "own_consistency",
    "pair_margins",
    "position_bias",
    "tie_rate",
]
