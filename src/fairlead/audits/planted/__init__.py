"""Defects with a known place, which audits must find, and twins without one, which must pass.

One file per audit. Each registers cases; `fairlead audit --self-test` and the tests run them.
"""

import importlib
import pkgutil

from fairlead.audits.planted.cases import CASES, Case, flagged
from fairlead.audits.planted.coverage import COVERAGE

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["CASES", "COVERAGE", "Case", "flagged"]
