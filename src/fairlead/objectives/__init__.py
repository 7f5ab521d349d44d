"""One file per objective: settings, needs and maths together."""

import importlib
import pkgutil

from fairlead.objectives.base import OBJECTIVES, Loss, Need, Objective
from fairlead.objectives.batch import (
    Batch,
    ContrastBatch,
    DistillationBatch,
    Packed,
    PreferenceBatch,
    RolloutBatch,
    Scores,
    SequenceBatch,
    StepBatch,
    Totals,
    Tree,
    UnpairedBatch,
)

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "OBJECTIVES",
    "Batch",
    "ContrastBatch",
    "DistillationBatch",
    "Loss",
    "Need",
    "Objective",
    "Packed",
    "PreferenceBatch",
    "RolloutBatch",
    "Scores",
    "SequenceBatch",
    "StepBatch",
    "Totals",
    "Tree",
    "UnpairedBatch",
]
