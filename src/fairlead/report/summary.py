"""A run's report as JSON, for other programs."""

import math
from pathlib import Path
from typing import Any

from fairlead.core.estimates import NamedEstimate
from fairlead.report.collect import read_view

ESTIMATE_FIELDS = ("name", "value", "low", "high", "n", "method", "seed")


def report_json(run_dir: Path) -> dict[str, Any]:
    """What the report says, as JSON values.

    Returns:
        run: name, seed, started, finished, seconds and recipe. estimates: name, value, low, high,
        n, method and seed each; null where a number does not exist. stages: as in run.json.
        notes: sentences.

    Raises:
        DataError: the folder holds no readable run.
    """
    view = read_view(run_dir)
    run = view.run.model_dump(mode="json")
    return {
        "run": {key: run[key] for key in ("name", "seed", "started", "finished", "recipe")}
        | {"seconds": view.seconds},
        "estimates": [_plain(e) for stage in view.stages for e in stage.result.estimates],
        "stages": run["stages"],
        "notes": [note for _, note in view.notes],
    }


def _plain(estimate: NamedEstimate) -> dict[str, Any]:
    values = {name: getattr(estimate, name) for name in ESTIMATE_FIELDS}
    missing = {k: None for k, v in values.items() if isinstance(v, float) and not math.isfinite(v)}
    return values | missing
