import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

import fairlead

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(fairlead.__file__).parent
MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.name == "__init__.py" or not path.name.startswith("_")
)


def _contracts() -> list[dict]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return settings["tool"]["importlinter"]["contracts"]


def test_every_room_is_in_the_layers_contract():
    (layers,) = [c["layers"] for c in _contracts() if c["type"] == "layers"]
    named = {room.strip() for layer in layers for room in layer.split("|")}
    rooms = {f"fairlead.{p.parent.name}" for p in PACKAGE.glob("*/__init__.py")}
    assert named == rooms


def test_every_module_folder_is_a_package():
    folders = {p.parent for p in PACKAGE.rglob("*.py")}
    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_public_module_says_what_it_is_for(path: Path):
    documentation = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert len(documentation.split()) >= 3


def test_methods_do_not_import_each_other():
    """A new objective needs no line anywhere else, so this is not a list in pyproject.toml."""
    from fairlead.objectives import OBJECTIVES

    for kind, objective in OBJECTIVES.items():
        source = Path(sys.modules[objective.__module__].__file__ or "").read_text()
        imported = re.findall(r"from fairlead\.objectives\.(\w+) import", source)
        assert not (set(imported) - {kind}) & set(OBJECTIVES), kind
