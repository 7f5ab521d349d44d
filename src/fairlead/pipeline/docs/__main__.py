"""Writes the pages into docs/, or elsewhere: `python -m fairlead.pipeline.docs [FOLDER]`."""

import sys
from pathlib import Path

from fairlead.pipeline.docs import main

main(*map(Path, sys.argv[1:2]))
