import re
import shlex
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?fairlead(?: |$)")


def commands(markdown: str) -> list[list[str]]:
    """Arguments of every `fairlead ...` line in the code blocks, with continued lines joined."""
    lines = "\n".join(BLOCK.findall(markdown)).replace("\\\n", " ").splitlines()
    found = [line.strip() for line in lines if COMMAND.match(line.strip())]
    return [shlex.split(COMMAND.sub("", line), comments=True) for line in found]


def complaints(command: Any, arguments: list[str]) -> list[str]:
    """What the command-line program would not know in these arguments."""
    while arguments and getattr(command, "commands", None):
        name, *arguments = arguments
        if name.startswith("-"):
            return [] if name in _options(command) else [f"no option {name}"]
        if name not in command.commands:
            return [f"no command {name!r}; there are {sorted(command.commands)}"]
        command = command.commands[name]
    given = [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]
    return [f"no option {name}" for name in given if name not in _options(command)]


def _options(command: Any) -> set[str]:
    names = [name for p in command.params for name in (*p.opts, *p.secondary_opts)]
    return {*names, "--help"}


def test_commands_are_read_from_code_blocks_only():
    text = "fairlead no\n```bash\n$ fairlead run a.yaml \\\n  x.y=1  # why\nother\n```\n"
    assert commands(text) == [["run", "a.yaml", "x.y=1"]]


def test_unknown_commands_and_options_are_noticed():
    import typer

    app = typer.Typer()

    @app.command()
    def run(recipe: str, dry_run: bool = False) -> None: ...

    @app.command()
    def verify(folder: str) -> None: ...

    program = typer.main.get_command(app)
    assert complaints(program, ["run", "a.yaml", "--dry-run"]) == []
    assert complaints(program, ["run", "a.yaml", "--fast"]) == ["no option --fast"]
    assert complaints(program, ["walk"]) == ["no command 'walk'; there are ['run', 'verify']"]
    assert complaints(program, ["--help"]) == []


def test_readme_shows_commands():
    assert len(commands((ROOT / "README.md").read_text())) >= 1


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_documented_commands_exist(page: str):
    from typer.main import get_command

    from fairlead.cli.main import app

    program = get_command(app)
    found = {
        shlex.join(arguments): complaints(program, arguments)
        for arguments in commands((ROOT / page).read_text())
    }
    assert {line: wrong for line, wrong in found.items() if wrong} == {}
