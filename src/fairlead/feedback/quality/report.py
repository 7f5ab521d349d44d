"""Everything about the quality of one campaign's labels in one value."""

from pydantic import BaseModel, ConfigDict

from fairlead.core.estimates import Estimate
from fairlead.core.seeds import Seed
from fairlead.feedback.quality.agreement import AgreementReport, measure_agreement
from fairlead.feedback.quality.groups import GroupReport, group_differences
from fairlead.feedback.quality.outliers import OutlierReport, find_outliers
from fairlead.feedback.quality.position import Bias, length_bias, position_bias, tie_rate
from fairlead.feedback.tables import LabelTable


class QualityReport(BaseModel):
    """Agreement, biases, groups and findings; None where a column is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    agreement: AgreementReport
    """With accuracy against gold and people's agreement with themselves."""
    position: Bias | None
    length: Bias | None
    ties: Estimate | None
    groups: GroupReport | None
    """None with fewer than two groups of people."""
    outliers: OutlierReport


def measure_quality(table: LabelTable, *, seed: Seed, ordered: bool = False) -> QualityReport:
    """Measures all that the columns of a table allow.

    Args:
        table: who said what.
        seed: of bootstraps and permutations.
        ordered: whether the labels are in a meaningful order.
    """
    groups = table.groups
    several = groups is not None and len(set(groups.codes[table.people.codes].tolist()) - {-1}) > 1
    return QualityReport(
        agreement=measure_agreement(table, seed=seed.child("agreement"), ordered=ordered),
        position=position_bias(table),
        length=length_bias(table),
        ties=tie_rate(table),
        groups=group_differences(table, seed=seed.child("groups")) if several else None,
        outliers=find_outliers(table),
    )
