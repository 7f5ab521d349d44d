"""The peer's environment: TRL, and otherwise our versions."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".venv-trl"
PACKAGES = ("trl==1.16.0", "transformers==5.23.0")
_ASK = (
    "import json; from importlib.metadata import version; "
    "print(json.dumps({n: version(n) for n in ('trl', 'torch', 'transformers')}))"
)


def peer_python() -> str:
    """Python with TRL; its environment is made where there is none."""
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / ".setup-done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        install = [str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*install, "torch==2.13.0"], check=True)
        subprocess.run([*install, *PACKAGES], check=True)
        done.touch()
    return str(python)


def peer_versions(python: str) -> dict[str, str]:
    """What a peer's Python holds."""
    asked = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, check=True)
    return json.loads(asked.stdout)
