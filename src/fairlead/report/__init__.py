"""Reports: a run folder as one self-contained web page, as Markdown or as JSON, and its evidence.

Reads run folders only.
"""

from fairlead.report.checking import check
from fairlead.report.evidence import write_evidence
from fairlead.report.markdown import report_markdown
from fairlead.report.page import render, write_report
from fairlead.report.summary import report_json

__all__ = [
    "check",
    "render",
    "report_json",
    "report_markdown",
    "write_evidence",
    "write_report",
]
