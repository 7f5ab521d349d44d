"""A run's report as Markdown, for pull requests and notebooks; from the data of the other two."""

from collections.abc import Iterator
from pathlib import Path

from fairlead.core.results import Finding, Passage, Table
from fairlead.core.unseen import spelt_out
from fairlead.lineage.cards import plain
from fairlead.report.collect import RunView, read_view
from fairlead.report.groups import grouped
from fairlead.report.numbers import duration, number
from fairlead.report.reproducing import commands
from fairlead.report.verdict import (
    Audited,
    GateRow,
    Ruling,
    changes,
    misled,
    reason,
    ruling_of,
    unscored_words,
)

_MARKS = {"pass": "pass", "fail": "**FAIL**", "inconclusive": "inconclusive"}


def report_markdown(run_dir: Path) -> str:
    """The report of a run as Markdown.

    Raises:
        DataError: the folder holds no readable run.
    """
    view = read_view(run_dir)
    return "\n".join(_lines(view)).rstrip() + "\n"


def _lines(view: RunView) -> Iterator[str]:
    ruling = ruling_of(view)
    yield f"# {plain(view.run.name)}"
    yield ""
    if ruling is None:
        yield "Nothing was audited in this run, so it has no verdict."
    else:
        yield from _verdict(ruling)
    yield ""
    yield f"{view.run.started:%Y-%m-%d}, {duration(view.seconds)}, seed {view.run.seed}."
    yield ""
    if ruling is not None:
        yield from _audits(ruling)
    yield from _estimates(view)
    if view.notes:
        yield "## Notes"
        yield ""
        yield from (f"- {plain(note)} ({stage})" for stage, note in view.notes)
        yield ""
    yield "## How to reproduce"
    yield ""
    yield from (f"    {line}" for line in commands(view))


def _verdict(ruling: Ruling) -> Iterator[str]:
    yield f"## {ruling.decision}"
    yield ""
    for one in ruling.audited:
        yield f"- {_models(one)}"
        status = " ".join(one.judge_status)
        judge = f"judge `{plain(one.judge)}`" if one.judge else "no judge is named"
        yield f"- {judge}{': ' if status else ''}{plain(status)}"
        yield from (f"- **{plain(caveat)}**" for caveat in one.caveats)
    yield f"- answers without a score: {unscored_words(ruling.unscored) or 'none'}"
    yield ""
    open_gates = [row.gate for row in ruling.hard if row.gate.verdict != "pass"]
    yield from (f"- {plain(reason(gate))}" for gate in open_gates)
    flattered = [said for row in ruling.rows if (said := misled(row.gate))]
    yield from (f"- **{plain(said)}**" for said in flattered)
    if open_gates or flattered:
        yield ""
    yield "| gate | verdict | change | interval | margin | items | clusters | unscored | flips |"
    yield "|---|---|---|---|---|---|---|---|---|"
    yield from (_gate(row) for row in ruling.rows)


def _models(one: Audited) -> str:
    def shown(name: str, digest: str) -> str:
        return f"`{plain(name)}`" + (f" ({digest[:12]})" if digest else "")

    candidate = shown(one.candidate.name, one.candidate.digest)
    baseline = shown(one.baseline.name, one.baseline.digest)
    return f"candidate {candidate} against {baseline}: {one.decision}"


def _gate(row: GateRow) -> str:
    gate = row.gate
    value, low, high = changes(gate.change, gate.margin)
    flips = f"{gate.flips.worse} worse, {gate.flips.better} better" if gate.flips else ""
    cells = [
        plain(gate.name) + ("" if gate.hard else " (informs only)"),
        _MARKS[gate.verdict],
        value,
        f"{low} to {high}",
        number(gate.margin),
        number(gate.items),
        number(gate.change.n),
        unscored_words(gate.unscored) or "0",
        flips,
    ]
    return f"| {' | '.join(cells)} |"


def _audits(ruling: Ruling) -> Iterator[str]:
    for name, findings in grouped(ruling):
        yield f"## {name}"
        yield ""
        for placed in findings:
            yield from _finding(placed.finding)


def _finding(finding: Finding) -> Iterator[str]:
    yield f"### {plain(finding.question)} ({plain(finding.audit)})"
    yield ""
    for e in finding.estimates:
        level = f"{e.level:.0%}"
        yield (
            f"- {plain(e.name)}: {number(e.value)} [{number(e.low)}, {number(e.high)}] "
            f"({level}, n = {e.n})"
        )
    yield from (f"- {plain(note)}" for note in finding.remarks)
    yield ""
    for table in finding.tables:
        yield from _table(table)
    for passage in finding.passages[:3]:
        yield from _passage(passage)
    if finding.source:
        yield f"Source: {plain(finding.source)}"
        yield ""


def _table(table: Table) -> Iterator[str]:
    yield f"{plain(table.title)}:"
    yield ""
    yield f"| {' | '.join(map(plain, table.columns))} |"
    yield f"|{'---|' * len(table.columns)}"
    for row in table.rows:
        yield f"| {' | '.join(plain(number(cell)) for cell in row)} |"
    yield ""


def _passage(passage: Passage) -> Iterator[str]:
    parts = {
        "prompt": passage.prompt,
        "baseline": passage.baseline,
        "candidate": passage.candidate,
    }
    yield f"{plain(passage.about)}: {plain(passage.note)}".rstrip(": ")
    yield ""
    for name, text in parts.items():
        if text:
            lines = spelt_out(text).split("\n")
            yield f"    {name}: {lines[0]}"
            yield from (f"    {line}" for line in lines[1:])
    yield ""


def _estimates(view: RunView) -> Iterator[str]:
    estimates = [(s.record.name, e) for s in view.stages for e in s.result.estimates]
    if not estimates:
        return
    yield "## Estimates"
    yield ""
    yield "| stage | name | value | low | high | n |"
    yield "|---|---|---|---|---|---|"
    for stage, e in estimates:
        numbers = " | ".join(map(number, (e.value, e.low, e.high, e.n)))
        yield f"| {plain(stage)} | {plain(e.name)} | {numbers} |"
    yield ""
