"""A diagnosis as a table for people."""

import math

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fairlead.report.diagnose import Diagnosis, Fault, Finding, Verdict

STYLES = {
    Verdict.OK: "green",
    Verdict.ODD: "yellow",
    Verdict.BAD: "bold red",
    Verdict.NOT_MEASURED: "dim",
}

EXIT_CODES = {Fault.NONE: 0, Fault.UNKNOWN: 3}
"""1 for every fault that has a name; 2 is what the command line gives for wrong arguments."""


def exit_code(diagnosis: Diagnosis) -> int:
    """0 where no fault was found, 1 for a fault, 3 where there is not enough to tell."""
    return EXIT_CODES.get(diagnosis.fault, 1)


def shown(diagnosis: Diagnosis) -> Group:
    """A table for each stage."""
    stages = dict.fromkeys(finding.stage for finding in diagnosis.findings)
    own = {s: [f for f in diagnosis.findings if f.stage == s] for s in stages}
    return Group(*(_table(stage, findings) for stage, findings in own.items()))


def _table(stage: str, findings: list[Finding]) -> Table:
    table = Table(title=stage, title_justify="left", title_style="bold")
    table.add_column("what", ratio=4)
    table.add_column("value", ratio=2)
    table.add_column("normal range", ratio=2)
    table.add_column("verdict", no_wrap=True)
    table.add_column("remedy", ratio=4)
    for finding in findings:
        wrong = finding.verdict in (Verdict.ODD, Verdict.BAD)
        table.add_row(
            Text(finding.what),
            Text(finding.shown or "-"),
            Text(_range(finding)),
            Text(finding.verdict, style=STYLES[finding.verdict]),
            Text(f"{finding.remedy} ({finding.reason})" if wrong else ""),
        )
    return table


def _range(finding: Finding) -> str:
    low, high = (None if x is None or math.isinf(x) else f"{x:g}" for x in finding.normal)
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"
