"""Looks at a crowd in all ways and keeps what is significant."""

from collections.abc import Callable, Sequence

import numpy as np

from fairlead.feedback.quality.outliers import competence, habits
from fairlead.feedback.quality.outliers.cases import Case, Cases
from fairlead.feedback.quality.outliers.copying import copying
from fairlead.feedback.quality.outliers.crowd import Crowd
from fairlead.feedback.quality.outliers.report import LEVELS, Finding, Kind, OutlierReport
from fairlead.feedback.tables import LabelTable
from fairlead.stats.significance import benjamini_hochberg

LOOKS: dict[Kind, Callable[[Crowd], Cases]] = {
    "suggestion": habits.repeats_suggestions,
    "fast": habits.too_fast,
    "straight": habits.always_the_same,
    "position": habits.one_sided,
    "copying": copying,
    "inverted": competence.inverted,
    "gold": competence.fails_gold,
    "random": competence.close_to_random,
}


def find_outliers(table: LabelTable) -> OutlierReport:
    """Looks for eight kinds of odd work; see the package for how false alarms are bounded.

    Args:
        table: who said what; the more is known of each answer (order, times, lengths, suggestions,
            gold), the more kinds can be looked for.

    Returns:
        Findings and what could not be measured; nothing is removed from the table.
    """
    crowd = Crowd(table.first_answers())
    looked: dict[Kind, Cases] = {kind: look(crowd) for kind, look in LOOKS.items()}
    findings = [
        finding
        for kind, cases in looked.items()
        if not isinstance(cases, str)
        for finding in _significant(kind, cases, crowd.names)
    ]
    places = {name: i for i, name in enumerate(crowd.names)}
    return OutlierReport(
        people=len(np.unique(crowd.people)),
        findings=tuple(sorted(findings, key=lambda f: places[f.person])),
        not_measured={kind: why for kind, why in looked.items() if isinstance(why, str)},
    )


def _significant(kind: Kind, cases: Sequence[Case], names: Sequence[str]) -> list[Finding]:
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
