"""One of several processes that train methods together: `worker.py RUN OUTCOMES [METHOD ...]`."""

import faulthandler
import json
import sys
import traceback
from pathlib import Path

import torch
from cases import kinds, run, stage

from fairlead.models.processes import is_first

PATIENCE = 120.0
"""Seconds after which a method that waits for another process is given up, with all others."""


def main(run_dir: Path, outcomes: Path, chosen: list[str]) -> None:
    """Trains one method after the other; a refusal is noted, and the others go on."""
    torch.set_num_threads(1)
    found: dict[str, str] = {}
    for kind in chosen or kinds():
        for lora in (False, True):
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            name = f"{kind}-{'lora' if lora else 'full'}"
            try:
                if stage(kind, lora=lora) is not None:
                    run(kind, run_dir, lora=lora)
                    found[name] = "passed"
            except Exception:  # both processes meet the same, and the next method goes on
                found[name] = traceback.format_exc()
            if is_first():
                outcomes.write_text(json.dumps(found))
    faulthandler.cancel_dump_traceback_later()


main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
