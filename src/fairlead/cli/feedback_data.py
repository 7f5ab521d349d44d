"""`fairlead feedback`: import, export, stats, erase, purge, consent. Parses, calls, prints."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fairlead.cli.feedback_server import DEFAULT_DB, Database, opened
from fairlead.cli.shell import Json, for_people, out, print_json

if TYPE_CHECKING:
    from fairlead.feedback.imports import ImportReport, RefusedRow
    from fairlead.feedback.privacy.erase import ErasureReport
    from fairlead.feedback.statistics import CampaignQuality
    from fairlead.feedback.store import Store

app = typer.Typer()

SHOWN = 20
"""Most rows of a list in the terminal; JSON has them all."""

CampaignName = Annotated[str, typer.Argument(help="Name, PROJECT/NAME or number.")]
Pii = Annotated[
    str, typer.Option("--pii", help="Texts with personal data: report, mask or refuse.")
]


# Import


@app.command("import")
@for_people
def import_command(
    file: Annotated[Path, typer.Argument(help="JSON Lines, JSON or Parquet, or a folder.")],
    campaign: CampaignName,
    db: Database = DEFAULT_DB,
    format: Annotated[str, typer.Option("--format", help="Format of the rows.")] = "auto",
    labels: Annotated[
        str, typer.Option("--labels", help="The source's labels: suggestion, gold or drop.")
    ] = "suggestion",
    pii: Pii = "report",
    as_json: Json = False,
) -> None:
    """Adds prompts and replies to a campaign: any public format, or rows as `items` describes."""
    from fairlead.feedback.campaigns import find_campaign
    from fairlead.feedback.imports import import_items, import_records
    from fairlead.feedback.permissions import LOCAL

    now = datetime.now(UTC)
    with opened(db, must_exist=True) as store:
        number = find_campaign(store, LOCAL, campaign).id
        policy: Any = one_of("--pii", pii, ("report", "mask", "refuse"))
        if format == "items" or (format == "auto" and _holds_items(file)):
            rows, refused = _item_rows(file)
            report = import_items(store, LOCAL, number, rows, pii=policy, refused=refused, now=now)
        else:
            records, refused = _records(file, format)
            kept: Any = one_of("--labels", labels, ("suggestion", "gold", "drop"))
            report = import_records(
                store, LOCAL, number, records, labels=kept, pii=policy, refused=refused, now=now
            )
    if as_json:
        print_json({**report.model_dump(mode="json"), "reasons": report.reasons})
    else:
        _show_import(report)


def one_of(option: str, value: str, names: tuple[str, ...]) -> str:
    """A value of an option that has few.

    Raises:
        ConfigError: it is none of them.
    """
    from fairlead.core.errors import ConfigError

    if value not in names:
        raise ConfigError("unknown value", where=option, expected=", ".join(names), got=value)
    return value


def _records(file: Path, format: str) -> tuple[tuple[Any, ...], "list[RefusedRow]"]:
    """The records of a file in any format, and the rows that are none."""
    from fairlead.data.readers import read
    from fairlead.feedback.imports import RefusedRow

    result = read(file, format)
    refused = [
        RefusedRow(
            where=f"{row.file}#{row.row}",
            why=f"{row.field}: expected {row.expected}, got {row.got}",
        )
        for row in result.rejected
    ]
    return result.records, refused


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    from fairlead.data.readers.sources import open_sources

    sources, _ = open_sources(str(file), None)
    for source in sources:
        for number, row in source.rows:
            yield f"{source.name}#{number}", row


def _holds_items(file: Path) -> bool:
    """Whether the first row is an item as `NewItem` describes it."""
    first = next((row for _, row in _rows(file) if isinstance(row, Mapping)), {})
    return "external_id" in first and "kind" not in first


def _item_rows(file: Path) -> tuple[list[tuple[str, Any]], "list[RefusedRow]"]:
    from fairlead.feedback.imports import RefusedRow

    rows: list[tuple[str, Any]] = []
    refused: list[RefusedRow] = []
    for where, row in _rows(file):
        if isinstance(row, Mapping):
            rows.append((where, row))
        else:
            refused.append(RefusedRow(where=where, why=str(row)))
    return rows, refused


def _show_import(report: "ImportReport") -> None:
    out.print(
        f"{report.added} items added, {report.known} known already, {len(report.refused)} rows "
        "refused"
    )
    for row in report.refused[:SHOWN]:
        out.print(f"  {row.where}: {row.why}", markup=False)
    if len(report.refused) > SHOWN:
        out.print(f"  ... and {len(report.refused) - SHOWN} more; --json lists them all")
    _show_personal(report.personal_data.model_dump())


def _show_personal(found: Mapping[str, Any]) -> None:
    kinds = ", ".join(f"{kind} {n}" for kind, n in found["found"].items()) or "nothing"
    out.print(f"personal data in {found['texts']} texts: {kinds} (policy: {found['policy']})")
    for place in found["places"][:SHOWN]:
        out.print(f"  {place}", markup=False)


# Export


@app.command("export")
@for_people
def export_command(
    campaign: CampaignName,
    folder: Annotated[Path, typer.Argument(help="New folder, or an earlier export to replace.")],
    db: Database = DEFAULT_DB,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="auto, pairs, rankings, ratings, kto, steps, prm800k, demonstrations, critiques "
            "or attacks.",
        ),
    ] = "auto",
    records: Annotated[
        str, typer.Option("--records", help="aggregated (one per item) or each (per answer).")
    ] = "aggregated",
    method: Annotated[
        str,
        typer.Option("--method", help="majority, dawid_skene, mace or bradley_terry."),
    ] = "majority",
    weighted: Annotated[
        bool, typer.Option("--weighted", help="People with findings count less.")
    ] = False,
    parts: Annotated[str, typer.Option("--parts", help="As train=0.9,test=0.1.")] = "train=1",
    seed: Annotated[int, typer.Option("--seed", help="Of the parts.")] = 0,
    reasons: Annotated[bool, typer.Option(help="Free-text reasons leave, too.")] = True,
    groups: Annotated[bool, typer.Option("--groups", help="People's groups leave, too.")] = False,
    pii: Pii = "report",
    as_json: Json = False,
) -> None:
    """Writes records for training with a data card, a manifest and the raw answers."""
    from fairlead.feedback.campaigns import find_campaign
    from fairlead.feedback.exports.settings import ExportSettings
    from fairlead.feedback.exports.write import export_campaign
    from fairlead.feedback.permissions import LOCAL

    given = {
        "format": format,
        "records": records,
        "method": method,
        "weighted": weighted,
        "parts": _parts(parts),
        "seed": seed,
        "reasons": reasons,
        "groups": groups,
        "pii": pii,
    }
    settings = checked_settings(ExportSettings, given)
    with opened(db, must_exist=True) as store:
        number = find_campaign(store, LOCAL, campaign).id
        made = export_campaign(store, LOCAL, number, folder, settings, now=datetime.now(UTC))
    if as_json:
        print_json({"export": made.id, "path": made.path, "sha256": made.sha256, **made.manifest})
        return
    sizes = ", ".join(f"{name} {n}" for name, n in made.manifest["records"].items())
    out.print(f"export {made.id}: {sizes} records of format {made.format} in {made.path}")
    for why, n in made.manifest["left_out"].items():
        out.print(f"  left out: {n} {why}", markup=False)
    _show_personal(made.manifest["personal_data"])


def checked_settings(model: Any, given: Mapping[str, Any]) -> Any:
    """Settings from options.

    Raises:
        ConfigError: a value does not fit; says which.
    """
    from pydantic import ValidationError

    from fairlead.core.errors import ConfigError

    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        faults = [f"--{one['loc'][0]}: {one['msg']}" for one in error.errors() if one["loc"]]
        faults += [one["msg"] for one in error.errors() if not one["loc"]]
        raise ConfigError("these options do not fit", got="; ".join(faults)) from error


def _parts(text: str) -> dict[str, float]:
    from fairlead.core.errors import ConfigError

    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError as error:
        raise ConfigError(
            "not parts of a whole", where="--parts", expected="train=0.9,test=0.1", got=text
        ) from error


# Statistics


@app.command()
@for_people
def stats(
    campaign: CampaignName,
    db: Database = DEFAULT_DB,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of bootstraps; the campaign's own if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """How good a campaign's labels are: agreement, biases, gold, groups, findings about people."""
    from fairlead.core.seeds import Seed
    from fairlead.feedback.campaigns import find_campaign
    from fairlead.feedback.permissions import LOCAL
    from fairlead.feedback.statistics import campaign_quality

    with opened(db, must_exist=True) as store:
        number = find_campaign(store, LOCAL, campaign).id
        root = None if seed is None else Seed(seed)
        report = campaign_quality(store, LOCAL, number, seed=root)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _show_stats(report)


def _show_stats(report: "CampaignQuality") -> None:
    from fairlead.cli.feedback import agreement_shown

    answers = ", ".join(f"{n} {name}" for name, n in report.answers.items()) or "no answers"
    out.print(f"{report.name}: {answers} by {report.people} people to {report.items} items")
    if report.rankings is not None:
        out.print(f"Kendall's tau-b of whole rankings: {report.rankings}", markup=False)
    if report.both_bad is not None:
        out.print(f"both replies bad: {report.both_bad}", markup=False)
    for question in report.questions:
        if question.name:
            out.print(f"\n{question.name}", style="bold", markup=False)
        out.print(agreement_shown(question.quality.agreement))
        _show_quality(question)
    if not report.questions and report.answers:
        out.print("Free text: agreement is not defined.")


def _show_quality(question: Any) -> None:
    quality = question.quality
    for bias in (quality.position, quality.length):
        if bias is not None:
            out.print(f"{bias.name}: {bias.share}, p = {bias.p:.2g}; {bias.power}", markup=False)
            notable = [one for one in bias.people if one.adjusted <= 0.05]
            for one in notable:
                shown = f"  {one.person}: {one.share}, adjusted p = {one.adjusted:.2g}"
                out.print(shown, markup=False)
    if quality.ties is not None:
        out.print(f"ties: {quality.ties}", markup=False)
    for name, groups in question.groups.items():
        out.print(
            f"groups by {name}: distance {groups.distance:.3f}, by chance {groups.by_chance:.3f}, "
            f"p = {groups.p:.3f}; {len(groups.divided)} items divide them",
            markup=False,
        )
        for shift in groups.shifts:
            shown = f"  {shift.label}: {shift.first} - {shift.second} = {shift.difference}"
            out.print(shown, markup=False)
    findings = quality.outliers
    out.print(f"findings about {findings.people} people: {len(findings.findings)}")
    for finding in findings.findings:
        shown = f"  {finding.person}, {finding.kind}: {finding.reason}"
        out.print(f"{shown} Suggested weight {finding.weight:.2f}.", markup=False)
    for kind, why in findings.not_measured.items():
        out.print(f"  not looked for: {kind} ({why})", markup=False)


# Privacy


@app.command()
@for_people
def erase(
    person: Annotated[str, typer.Argument(help="Login or pseudonym.")],
    db: Database = DEFAULT_DB,
    forget: Annotated[
        bool, typer.Option("--forget", help="Erase who the person is; answers stay.")
    ] = False,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Erase all that the person contributed.")
    ] = False,
    texts: Annotated[
        bool, typer.Option("--texts", help="With --forget: their reasons and notes, too.")
    ] = False,
    runs: Annotated[
        list[Path] | None,
        typer.Option("--runs", help="Folder in which runs lie, to look for affected models."),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the affected exports anew in their place.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Forgets a person, withdraws their work, or both; lists the exports and models affected."""
    from fairlead.core.errors import ConfigError
    from fairlead.feedback.permissions import LOCAL
    from fairlead.feedback.privacy.erase import (
        forget_me,
        pseudonym_of,
        wipe,
        withdraw_work,
    )

    if not (forget or withdraw):
        raise ConfigError("say what to erase", expected="--forget, --withdraw or both")
    now = datetime.now(UTC)
    with opened(db, must_exist=True) as store:
        who = pseudonym_of(store, LOCAL, person)
        if not yes:
            what = [*(["identity"] if forget else []), *(["work"] if withdraw else [])]
            typer.confirm(f"Erase the {' and '.join(what)} of {who} for good?", abort=True)
        done: list[ErasureReport] = []
        if withdraw:
            done.append(withdraw_work(store, LOCAL, who, runs=runs or (), now=now))
        if forget:
            done.append(forget_me(store, LOCAL, who, texts=texts, runs=runs or (), now=now))
        rebuilt = _rebuilt(store, done, now) if rebuild else []
        wipe(store)
    if as_json:
        print_json({"erased": [one.model_dump(mode="json") for one in done], "rebuilt": rebuilt})
        return
    for one in done:
        _show_erasure(one)
    for line in rebuilt:
        out.print(line, markup=False)


def _rebuilt(store: "Store", done: "list[ErasureReport]", now: datetime) -> list[str]:
    """Makes affected exports anew; says which could not be."""
    from fairlead.core.errors import FairleadError
    from fairlead.feedback.exports.write import rebuild_export
    from fairlead.feedback.permissions import LOCAL

    newest = {one.path: one for report in done for one in report.exports}
    lines: list[str] = []
    for path, one in newest.items():
        try:
            made = rebuild_export(store, LOCAL, one.export, now=now)
        except FairleadError as error:
            lines.append(f"not rebuilt: {path}: {error.what}; {error.remedy}")
        else:
            lines.append(f"rebuilt: {path} (export {made.id})")
    return lines


def _show_erasure(report: "ErasureReport") -> None:
    counts = ", ".join(f"{n} {what}" for what, n in report.counts.items() if n)
    out.print(f"{report.kind} {report.annotator}: {counts or 'nothing was there'}", markup=False)
    for one in report.exports:
        out.print(
            f"  affected export {one.export} ({one.answers} answers): {one.path}", markup=False
        )
    if report.affected is None:
        out.print("  models: not looked for; name the folder of runs with --runs")
        return
    for stage in report.affected.stages:
        models = ", ".join(stage.models) or "no model"
        shown = f"  affected stage {stage.run}, {stage.stage}: {models} (through {stage.through})"
        out.print(shown, markup=False)
    for line in report.affected.unread:
        out.print(f"  could not be checked: {line}", markup=False)
    if not report.affected.stages:
        out.print("  no affected model in these runs")


@app.command()
@for_people
def purge(
    db: Database = DEFAULT_DB,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML with a `retention` section, in days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    as_json: Json = False,
) -> None:
    """Removes what has been kept long enough, per table."""
    from fairlead.feedback.permissions import LOCAL
    from fairlead.feedback.privacy.erase import wipe
    from fairlead.feedback.privacy.retention import Retention
    from fairlead.feedback.privacy.retention import purge as purge_store

    retention = checked_settings(Retention, _retention(config))
    with opened(db, must_exist=True) as store:
        report = purge_store(store, LOCAL, retention, dry_run=dry_run, now=datetime.now(UTC))
        if not dry_run:
            wipe(store)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    for name, n in report.rows.items():
        verb = "would go" if dry_run else "gone"
        out.print(f"{name}: {n} {verb} (before {report.before[name][:10]})", markup=False)


def _retention(config: Path | None) -> Mapping[str, Any]:
    import yaml

    from fairlead.core.errors import ConfigError

    if config is None:
        return {}
    try:
        value = yaml.safe_load(config.read_text(encoding="utf-8"))
        return dict(value["retention"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            "no retention in this file",
            where=str(config),
            expected="a section `retention` with days per name, null to keep",
            got=str(error),
        ) from error


@app.command()
@for_people
def consent(
    db: Database = DEFAULT_DB,
    text: Annotated[
        Path | None, typer.Option("--text", help="File with a new text; everybody is asked again.")
    ] = None,
) -> None:
    """Shows what people agree to before they work, or sets a new version of it."""
    from fairlead.feedback.permissions import LOCAL
    from fairlead.feedback.profiles import add_consent, current_consent

    with opened(db, must_exist=True) as store:
        if text is not None:
            words = text.read_text(encoding="utf-8")
            add_consent(store, LOCAL, words, now=datetime.now(UTC))
        found = current_consent(store)
    if found is None:
        out.print("no consent text yet; set one with --text FILE")
    else:
        out.print(f"version {found[0]}\n{found[1]}", markup=False)
