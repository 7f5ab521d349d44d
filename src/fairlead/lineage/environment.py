"""Which code and which libraries made a result."""

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict

import fairlead

LIBRARIES = ("torch", "transformers", "accelerate", "peft", "datasets", "numpy")
_PACKAGE = Path(fairlead.__file__).parent


class CodeVersion(BaseModel):
    """The version of Fairlead that ran."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    """Package version."""
    revision: str | None
    """Git commit of the source tree; None where Fairlead does not run from a git checkout."""
    dirty: bool
    """Whether the checkout had changes or new files in the package that no commit holds."""


@cache
def code_version() -> CodeVersion:
    """The running code; asked once per process, because the loaded code does not change either."""
    tracked = _git("ls-files", "--error-unmatch", "__init__.py")
    if tracked is None:
        return CodeVersion(version=fairlead.__version__, revision=None, dirty=False)
    changes = _git("status", "--porcelain", "--", ".")
    return CodeVersion(
        version=fairlead.__version__, revision=_git("rev-parse", "HEAD"), dirty=bool(changes)
    )


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a result."""
    installed = {name: metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **installed}


def _git(*arguments: str) -> str | None:
    """Output of a git command in the package folder; None where it fails or git is absent."""
    command = ["git", "-C", str(_PACKAGE), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
