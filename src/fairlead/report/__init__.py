"""Reports: a run folder as one self-contained web page, or as JSON. Reads run folders only."""

from fairlead.report.page import render, write_report
from fairlead.report.summary import report_json

__all__ = ["render", "report_json", "write_report"]
