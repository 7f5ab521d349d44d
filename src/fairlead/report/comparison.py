"""Methods side by side over several seeds: one table and one figure, from the runs' folders."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.files import read_lines, write_json, write_text
from fairlead.core.results import Figure, Series
from fairlead.lineage import read, read_result
from fairlead.report.drawing import draw_figure
from fairlead.report.page import environment
from fairlead.stats.means import mean_estimate

JUDGES = ("gold", "judge", "proxy")
"""Judges from the one to trust most; a comparison is ordered by the first that is there."""

COLOURS = {
    "var(--muted)": "#5b636d",
    "var(--line)": "#dcdfe3",
    "var(--c0)": "#0b5fa5",
    "var(--c1)": "#c4511a",
    "var(--c2)": "#1f7a4d",
    "var(--c3)": "#8a3f9c",
    "var(--c4)": "#8a6d00",
    "var(--c5)": "#b3245f",
}
"""What a figure outside a page is drawn with."""


class Row(BaseModel):
    """One method over all seeds; every interval is over seeds where there are several."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    gains: dict[str, Estimate]
    """By judge: score over the baseline on the same prompts."""
    kl: Estimate
    """To the baseline, in nats per reply."""
    length: Estimate
    """Of replies, in tokens."""
    seconds: float
    """Mean training time."""
    peak_mib: float
    """Largest memory of a seed."""
    token_passes: float | None
    """Mean work in token passes; None where training does not count it."""
    by_seed: tuple[dict[str, Estimate], ...]
    """Each seed's own estimates, whose intervals are over prompts."""


class Comparison(BaseModel):
    """Methods side by side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    seeds: tuple[int, ...]
    budget: int | None
    """Token passes that every method was given; None where each had its own settings."""
    judge: str
    """The judge that orders the rows."""
    rows: tuple[Row, ...]
    seconds: float
    """All runs together, wall-clock."""


def compare_runs(
    name: str,
    runs: Sequence[tuple[int, Path]],
    methods: dict[str, str],
    *,
    evaluation: str,
    budget: int | None,
    seconds: float,
) -> Comparison:
    """Reads what the runs found.

    Args:
        name: of the comparison.
        runs: seed and folder of each.
        methods: name of each method, and its stage.
        evaluation: the stage that measured them.
        budget: token passes of each method.
        seconds: wall-clock time of it all.

    Raises:
        DataError: a run lacks a result.
    """
    rows = [_row(method, stage, runs, evaluation) for method, stage in methods.items()]
    judge = next(judge for judge in JUDGES if judge in rows[0].gains)
    rows.sort(key=lambda row: -row.gains[judge].value)
    return Comparison(
        name=name,
        seeds=tuple(seed for seed, _ in runs),
        budget=budget,
        judge=judge,
        rows=tuple(rows),
        seconds=seconds,
    )


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Writes comparison.json, .md, .svg and .html; returns the page's path."""
    write_json(folder / "comparison.json", comparison.model_dump(mode="json"))
    write_text(folder / "comparison.md", markdown(comparison))
    write_text(folder / "comparison.svg", standalone(figure(comparison)))
    page = environment().get_template("comparison.html.j2")
    write_text(
        folder / "comparison.html",
        page.render(comparison=comparison, figure=figure(comparison), head=_head(comparison)),
    )
    return folder / "comparison.html"


def markdown(comparison: Comparison) -> str:
    """The table in Markdown."""
    judges = [judge for judge in JUDGES if judge in comparison.rows[0].gains]
    heads = ["method", *(f"{judge} gain" for judge in judges), "KL (nats)", "length (tokens)"]
    heads += ["token passes", "seconds", "peak MiB"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in comparison.rows:
        cells = [interval(row.gains[judge]) for judge in judges]
        cells += [interval(row.kl), interval(row.length, digits=1), _millions(row.token_passes)]
        cells += [f"{row.seconds:.0f}", f"{row.peak_mib:.0f}"]
        lines.append(f"| {' | '.join([row.method, *cells])} |")
    return "\n".join([*lines, "", _head(comparison), ""])


def figure(comparison: Comparison) -> Figure:
    """Gain against the distance travelled, a point with its interval for each method."""
    judge = comparison.judge
    return Figure(
        title=f"{judge} gain against distance",
        x_label="√KL to the baseline (√nats per reply)",
        y_label=f"{judge} gain over the baseline",
        series=tuple(
            Series(
                label=row.method,
                x=(max(row.kl.value, 0.0) ** 0.5,),
                y=(row.gains[judge].value,),
                low=(row.gains[judge].low,),
                high=(row.gains[judge].high,),
                style="points",
            )
            for row in comparison.rows
        ),
        caption="Further up is better, further left is nearer to the baseline. Lines are 95 % "
        "intervals.",
    )


def standalone(drawn: Figure) -> str:
    """A figure as an SVG file with colours of its own and a legend."""
    text = str(draw_figure(drawn, legend=True))
    for variable, colour in COLOURS.items():
        text = text.replace(variable, colour)
    background = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return re.sub(r"(</title>)", rf"\1{background}", text, count=1)


def interval(estimate: Estimate, *, digits: int = 2) -> str:
    """An estimate with its interval."""
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def _head(comparison: Comparison) -> str:
    """How to read the numbers, in one sentence or two."""
    count = len(comparison.seeds)
    over = f"over {count} seeds (t interval)" if count > 1 else "over prompts, of one seed"
    same = (
        "every method with its own settings"
        if comparison.budget is None
        else f"{_millions(comparison.budget)} token passes for every method"
    )
    minutes = f"{comparison.seconds / 60:.1f}"
    return (
        f"The same data, {same}; 95 % intervals {over}. Gains are over the baseline on the same "
        f"held-out prompts. All runs together took {minutes} minutes."
    )


def _millions(count: float | None) -> str:
    return "n/a" if count is None else f"{count / 1e6:.2f} M"


def _row(method: str, stage: str, runs: Sequence[tuple[int, Path]], evaluation: str) -> Row:
    found = [_estimates(folder / "stages" / evaluation, method) for _, folder in runs]
    manifests = [read(folder / "stages" / stage) for _, folder in runs]
    passes = [_passes(folder / "stages" / stage / "metrics.jsonl") for _, folder in runs]
    counted = [one for one in passes if one is not None]
    judges = [judge for judge in JUDGES if f"{judge}_gain" in found[0]]
    return Row(
        method=method,
        gains={judge: _over([own[f"{judge}_gain"] for own in found]) for judge in judges},
        kl=_over([own["kl"] for own in found]),
        length=_over([own["length"] for own in found]),
        seconds=sum(m.seconds for m in manifests) / len(manifests),
        peak_mib=max(m.peak_mib for m in manifests),
        token_passes=sum(counted) / len(counted) if counted else None,
        by_seed=tuple(found),
    )


def _estimates(folder: Path, method: str) -> dict[str, Estimate]:
    """What an evaluation found out about a method, by what it is."""
    found: dict[str, Estimate] = {}
    for named in read_result(folder).estimates:
        what, _, whom = named.name.partition("/")
        if whom == method:
            found[what] = Estimate(**named.model_dump(exclude={"name"}))
    if not found:
        raise DataError(
            f"the evaluation does not know {method}",
            where=str(folder),
            remedy="run the comparison again without an old folder",
        )
    return found


def _over(estimates: Sequence[Estimate]) -> Estimate:
    """Mean over seeds; of one seed its own estimate."""
    if len(estimates) == 1:
        return estimates[0]
    return mean_estimate([estimate.value for estimate in estimates])


def _passes(metrics: Path) -> float | None:
    """Work of a training stage, as its last line says."""
    if not metrics.is_file():
        return None
    last: dict[str, Any] = {}
    for _, line in read_lines(metrics):
        last = json.loads(line)
    return last.get("train/token_passes")
