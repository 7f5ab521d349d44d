"""`fairlead constitution`: look at principles, check them, compare two versions."""

from pathlib import Path
from typing import Annotated

import typer

from fairlead.cli.shell import Json, for_people, out, print_json

app = typer.Typer(help="Look at, check and compare written principles.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(help="YAML file, or default for the one that comes along.")]


@app.command()
@for_people
def show(
    constitution: Source = "default",
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the file, to start from.")] = False,
    as_json: Json = False,
) -> None:
    """Print the principles of a constitution."""
    from fairlead.constitution.reading import constitution_text, load_constitution

    if yaml:
        out.print(constitution_text(constitution), markup=False, highlight=False, end="")
        return
    loaded = load_constitution(constitution)
    if as_json:
        print_json({**loaded.model_dump(mode="json"), "hash": loaded.hash})
        return
    out.print(f"{loaded.name} {loaded.version} ({loaded.hash})", markup=False, style="bold")
    for principle in loaded.principles:
        reach = f" for {', '.join(principle.applies_to)}" if principle.applies_to else ""
        head = f"\n{principle.id}, weight {principle.weight:g}{reach}"
        out.print(head, markup=False, style="bold", highlight=False)
        for text in (
            principle.text,
            f"why: {principle.rationale}" if principle.rationale else "",
            f"critique: {principle.critique_request}",
            f"revision: {principle.revision_request}",
            f"comparison: {principle.comparison_question}",
        ):
            if text:
                out.print(f"  {text}", markup=False, highlight=False)


@app.command()
@for_people
def lint(constitution: Source, as_json: Json = False) -> None:
    """Check a constitution line by line.

    Exit code 0: it can be used, warnings or not; 1: it cannot.
    """
    from dataclasses import asdict

    from fairlead.constitution.reading import constitution_text
    from fairlead.constitution.reading import lint as faults_of

    faults = faults_of(constitution_text(constitution))
    errors = [fault for fault in faults if fault.severity == "error"]
    if as_json:
        print_json({"faults": [asdict(fault) for fault in faults], "ok": not errors})
    else:
        for fault in faults:
            out.print(f"{constitution}, {fault}", markup=False, highlight=False)
        found = f"{len(errors)} errors, {len(faults) - len(errors)} warnings"
        out.print(found, markup=False, highlight=False)
    if errors:
        raise typer.Exit(1)


@app.command()
@for_people
def diff(
    old: Source,
    new: Source,
    labels: Annotated[
        str | None, typer.Option("--labels", help="Labelled records; count what changes there.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what changed between two versions, and which labels would be made anew."""
    from fairlead.constitution.diff import changes, lines, touched
    from fairlead.constitution.reading import load_constitution
    from fairlead.data.readers import read

    before, after = load_constitution(old), load_constitution(new)
    records = None if labels is None else read(labels, strict=True).records
    if as_json:
        found = [change.model_dump(mode="json") for change in changes(before, after)]
        seen = None if records is None else touched(records, after)
        counted = seen and {**seen.model_dump(mode="json"), "anew": seen.anew}
        print_json({"old": before.hash, "new": after.hash, "changes": found, "labels": counted})
        return
    for line in lines(before, after, records):
        out.print(line, markup=False, highlight=False)


@app.command()
@for_people
def relabel(
    labels: Annotated[str, typer.Argument(help="Comparisons made under principles.")],
    constitution: Annotated[str, typer.Option("--constitution", help="The new version.")],
    judge: Annotated[str, typer.Option("--judge", help="A model, a YAML file, or YAML.")],
    out_file: Annotated[Path, typer.Option("--out", help="Where the labels go (JSON Lines).")],
    seed: Annotated[int, typer.Option("--seed", help="Root of everything random.")] = 0,
    as_json: Json = False,
) -> None:
    """Make anew the labels that a new version would decide by other words, and no others."""
    from fairlead.cli.relabelling import relabel_file

    found = relabel_file(labels, constitution, judge, out_file, seed=seed)
    if as_json:
        print_json(found)
    else:
        said = ", ".join(f"{name} {count}" for name, count in found.items())
        out.print(f"{said}; written to {out_file}", markup=False, highlight=False)
