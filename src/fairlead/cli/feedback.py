"""`fairlead feedback`: parses, calls, prints. Loads nothing of torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.feedback_collect import collect
from fairlead.cli.feedback_data import app as data_app
from fairlead.cli.feedback_server import app as server_app
from fairlead.cli.shell import Json, for_people, out, print_json

if TYPE_CHECKING:
    from rich.console import Group

    from fairlead.feedback.quality import AgreementReport

app = typer.Typer(help="Labels by people: collect them, measure them.", no_args_is_help=True)
app.command()(collect)
app.add_typer(server_app)
app.add_typer(data_app)

SHOWN_PAIRS = 20
"""Most pairs of people in the table; JSON has them all."""

TITLES = {
    "percent": "percent agreement",
    "fleiss_kappa": "Fleiss' kappa",
    "krippendorff_alpha_nominal": "Krippendorff's alpha, nominal",
    "krippendorff_alpha_ordinal": "Krippendorff's alpha, ordinal",
    "krippendorff_alpha_interval": "Krippendorff's alpha, interval",
    "mean_cohen_kappa": "Cohen's kappa, mean over pairs",
    "mean_cohen_kappa_linear": "weighted kappa, linear",
    "mean_cohen_kappa_quadratic": "weighted kappa, quadratic",
}


@app.command()
@for_people
def agreement(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines, JSON or Parquet.")],
    item: Annotated[str, typer.Option("--item", help="Column that says what was labelled.")],
    annotator: Annotated[str, typer.Option("--annotator", help="Column that says by whom.")],
    label: Annotated[str, typer.Option("--label", help="Column with the answer.")],
    gold: Annotated[
        str | None, typer.Option("--gold", help="Column with the right answer.")
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            "--order", help="Labels from lowest to highest, with commas; numbers need none."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option("--cluster", help="Column that says what items belong to (steps: solutions)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Root of everything random.")] = 0,
    as_json: Json = False,
) -> None:
    """How far people agree in a table of labels, one row per answer, with intervals over items."""
    from fairlead.core.seeds import Seed
    from fairlead.feedback.quality import measure_agreement
    from fairlead.feedback.tables import read_table

    names = None if order is None else [name.strip() for name in order.split(",")]
    table = read_table(
        file, item=item, annotator=annotator, label=label, gold=gold, cluster=cluster, order=names
    )
    report = measure_agreement(table, seed=Seed(seed), ordered=order is not None)
    if as_json:
        print_json(agreement_json(report))
    else:
        out.print(agreement_shown(report))


def agreement_json(report: "AgreementReport") -> dict[str, Any]:
    """Plain numbers by name (null where undefined), and behind them the estimates with intervals.

    `krippendorff_alpha` is the nominal one, `cohen_kappa` the mean over pairs of people.
    """
    values = {c.name: c.value for c in report.coefficients}
    values["krippendorff_alpha"] = values.pop("krippendorff_alpha_nominal")
    plain = {name.removeprefix("mean_"): value for name, value in values.items()}
    if report.gold is not None:
        plain["gold_accuracy"] = report.gold.accuracy.value
    detail = report.model_dump(mode="json")
    estimates = detail.pop("coefficients")
    return {
        **plain,
        "undefined": {c.name: c.why for c in report.coefficients if c.value is None},
        "estimates": estimates,
        **detail,
    }


def agreement_shown(report: "AgreementReport") -> "Group":
    """The same as tables."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    left_out = [f"{n} rows {why}" for why, n in report.left_out.items()]
    counts = f"{report.answers} answers by {report.people} people to {report.items} items"
    table = Table("", "value [95 % interval]", title="Agreement", title_justify="left")
    table.caption = "; ".join([counts, *(f"left out: {text}" for text in left_out)])
    for c in report.coefficients:
        table.add_row(TITLES[c.name], Text(str(c)))
    if report.gold is not None:
        table.add_row("right, against gold", Text(str(report.gold.accuracy)))
    if report.repeats is not None:
        table.add_row("same answer when asked again", Text(str(report.repeats)))
    parts = [table, _pairs(report)]
    if report.gold is not None:
        people = Table("person", "accuracy, posterior", title="Gold", title_justify="left")
        for name, accuracy in sorted(report.gold.people.items(), key=lambda p: p[1].low):
            people.add_row(Text(name), Text(str(accuracy)))
        parts.append(people)
    return Group(*parts)


def _pairs(report: "AgreementReport") -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table("pair", "shared", "Cohen's kappa", title="Pairs", title_justify="left")
    defined = [p for p in report.pairs if p.kappa.value is not None]
    lowest = sorted(defined, key=lambda p: p.kappa.value or 0.0)[:SHOWN_PAIRS]
    for pair in lowest:
        table.add_row(Text(f"{pair.first}, {pair.second}"), str(pair.shared), Text(str(pair.kappa)))
    table.caption = f"{len(lowest)} of {len(report.pairs)} pairs, the lowest first"
    return table
