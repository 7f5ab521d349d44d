"""Eight methods on the same data with the same budget, over three seeds.

python -m benchmarks.compare [--out runs/compare] [--seeds 3] [--jobs 2]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
METHODS = "dpo,ipo,kto,orpo,simpo,ppo,grpo,rloo"
TOKEN_PASSES = 1_500_000


def command(folder: Path, seeds: int, jobs: int) -> list[str]:
    """What a user types."""
    return [
        *(sys.executable, "-m", "fairlead.cli.main", "compare"),
        *(str(ROOT / "recipes" / "compare-assistant.yaml"), "--methods", METHODS),
        *("--seeds", str(seeds), "--token-passes", str(TOKEN_PASSES)),
        *("--jobs", str(jobs), "--out", str(folder)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder of the runs; gone afterwards without")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary) / "compare"
        subprocess.run(command(folder, given.seeds, given.jobs), check=True)
        for kind in ("json", "md", "svg"):
            shutil.copy(folder / f"comparison.{kind}", RESULTS / f"comparison.{kind}")


if __name__ == "__main__":
    main()
