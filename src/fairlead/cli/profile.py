"""Where the time of a run went, as tables for people."""

from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from fairlead.pipeline.profile import FOLDER, Profile, Spent, StageSpent


def shown(profile: Profile, run_dir: Path) -> Group:
    """A table for each stage that trains, one for the whole run, and where the traces are."""
    trained = {name: stage for name, stage in profile.stages.items() if stage.trains}
    tables = [_table(_title(name, stage), stage) for name, stage in trained.items()]
    traces = [
        Text(f"trace: {run_dir / FOLDER / stage.trace}", no_wrap=True, overflow="ignore")
        for stage in trained.values()
        if stage.trace
    ]
    return Group(*tables, _table("whole run", profile.run), *traces)


def _title(name: str, stage: StageSpent) -> str:
    return f"{name} (since it was resumed)" if stage.resumed else name


def _table(title: str, spent: Spent) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("time goes to", min_width=16)
    table.add_column("seconds", justify="right")
    table.add_column("share", justify="right")
    for part, seconds, share in spent.shares():
        table.add_row(part, f"{seconds:.2f}", f"{share:.1%}")
    table.add_section()
    table.add_row("all", f"{spent.seconds:.2f}", "100.0%")
    return table
