"""`python -m tests.reference FILE`, from the root of the repository."""

import argparse
import sys
from pathlib import Path

from .runner import main

parser = argparse.ArgumentParser(
    prog="python -m tests.reference",
    description="Runs reference values through Fairlead's own functions, to 1e-6 in float64.",
    epilog="Exit code 0: nothing mismatches; 1: something does; 2: the file cannot be used.",
)
parser.add_argument("file", type=Path, help="JSON: case name -> {inputs, outputs}")
sys.exit(main(parser.parse_args().file))
