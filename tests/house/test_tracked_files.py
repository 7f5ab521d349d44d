import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Written in pieces, so that this file does not contain what it looks for.
MACHINE_PATHS = [
    "/" + folder + "/" for folder in ("work", "home", "root", "tmp", "Users", "mnt", "workspace")
]
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("download.pytorch", "org"),
        ("registry.npmjs", "org"),
        ("conda", "anaconda.org"),
    )
] + ["index" + "-url", "find" + "-links"]
PATH = re.compile(r"(?<![\w.~/}\])-])(" + "|".join(map(re.escape, MACHINE_PATHS)) + ")")
REGISTRY = re.compile("|".join(map(re.escape, REGISTRIES)))


def _tracked() -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so there are no tracked files to read")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in _tracked():
        text = path.read_bytes().decode(errors="ignore")
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    return found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"open('{MACHINE_PATHS[0]}data.txt')", True),
        (f"cd {MACHINE_PATHS[1]}someone", True),
        (f"https://example.com{MACHINE_PATHS[0]}page", False),
        ("out/work/x", False),
    ],
)
def test_machine_paths_are_told_from_other_slashes(line: str, found: bool):
    assert bool(PATH.search(line)) == found


def test_no_machine_paths():
    assert _lines_with(PATH) == []


def test_no_registry_hosts():
    assert _lines_with(REGISTRY) == []
