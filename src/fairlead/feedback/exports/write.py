"""Writes exports, remembers which answers are in them, and makes them anew."""

import csv
import io
import json
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from fairlead.core.errors import ConfigError
from fairlead.core.files import (
    read_json,
    sha256_file,
    sha256_json,
    whole_folder,
    write_json,
    write_text,
)
from fairlead.feedback import audit
from fairlead.feedback.campaigns import campaign_row
from fairlead.feedback.errors import Conflict
from fairlead.feedback.exports.build import Built, build
from fairlead.feedback.exports.card import card
from fairlead.feedback.exports.settings import ExportSettings
from fairlead.feedback.gathered import gather
from fairlead.feedback.permissions import Actor, Thing, missing, require
from fairlead.feedback.store import Store
from fairlead.feedback.store.tables import Assignment, DatasetExport, ExportMember, Item, Response
from fairlead.records import Record

MANIFEST = "export.json"
CARD = "README.md"
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for the beginning of a formula."""


@dataclass(frozen=True)
class ExportInfo:
    """An export that was made."""

    id: int
    campaign: int
    format: str
    path: str
    sha256: str
    """Of the folder of records, as manifests of runs name it."""
    manifest: dict[str, Any]
    created_at: datetime
    stale_at: datetime | None
    """Since when it no longer says what the store says; None if it does."""
    stale_why: str


def export_campaign(
    store: Store,
    actor: Actor,
    campaign: int,
    folder: Path,
    settings: ExportSettings | None = None,
    *,
    now: datetime,
) -> ExportInfo:
    """Writes a folder: `data/PART.jsonl`, raw answers and items, `README.md`, `export.json`.

    Args:
        store: the database.
        actor: who exports; leads and owners may.
        campaign: its number.
        folder: where to; an earlier export there is replaced.
        settings: what leaves, and how.
        now: the time.

    Raises:
        ConfigError: the format does not fit the work, or the folder holds something else.
        DataError: there is nothing to export, or a part would be empty.
        Refused: the actor may not export, or not under the store's pseudonyms.
    """
    _refuse_other_folder(folder)
    made = _made(store, actor, campaign, settings or ExportSettings(), now)
    with whole_folder(folder) as temporary:
        manifest = _write(temporary, temporary / "data", made.built)
        # Before the folder is in its place: what cannot be registered must not stay.
        return _registered(store, actor, made, folder, manifest, now)


def export_into(
    store: Store,
    actor: Actor,
    campaign: int,
    folder: Path,
    settings: ExportSettings | None = None,
    *,
    now: datetime,
    only: Collection[str] | None = None,
) -> ExportInfo:
    """The same with records beside the other files, into a folder that is there: a stage's.

    `only` are the external ids of a round, where it is not the whole campaign that is written.
    """
    made = _made(store, actor, campaign, settings or ExportSettings(), now, only)
    manifest = _write(folder, folder, made.built)
    try:
        return _registered(store, actor, made, folder, manifest, now)
    except BaseException:
        for name in manifest["files"]:
            (folder / name).unlink(missing_ok=True)
        raise


def rebuild_export(store: Store, actor: Actor, export: int, *, now: datetime) -> ExportInfo:
    """Makes an export anew in its place, from the answers that there are now.

    Raises:
        ConfigError: it was made by a run, which has to run again.
        Missing: no such export for this actor.
    """
    with store.read() as session:
        row = session.get(DatasetExport, export)
        if row is None:
            raise missing(f"export {export}")
        campaign_row(session, actor, "export", row.campaign_id, name=f"export {export}")
        campaign, path, manifest = row.campaign_id, row.path, row.manifest
    if manifest["layout"] != "folder":
        raise ConfigError(
            "this export belongs to a run",
            where=path,
            remedy="run the recipe again; the stage sees that its labels have changed",
        )
    settings = ExportSettings.model_validate(manifest["settings"])
    return export_campaign(store, actor, campaign, Path(path), settings, now=now)


def list_exports(store: Store, actor: Actor, campaign: int) -> list[ExportInfo]:
    """The exports of a campaign, oldest first."""
    with store.read() as session:
        campaign_row(session, actor, "export", campaign)
        query = select(DatasetExport).where(DatasetExport.campaign_id == campaign)
        return [_info(row) for row in session.scalars(query.order_by(DatasetExport.id))]


def labels_digest(store: Store, actor: Actor, campaign: int) -> str:
    """Hash of which answers there are, for caches: it changes when an export would."""
    with store.read() as session:
        row = campaign_row(session, actor, "export", campaign)
        answers = session.execute(
            select(Response.id, Response.revision, Response.state, Assignment.purpose)
            .join(Assignment, Response.assignment_id == Assignment.id)
            .where(Response.campaign_id == campaign)
            .order_by(Response.id)
        ).all()
        items = select(Item.external_id, Item.content_sha256).where(Item.campaign_id == campaign)
        contents = session.execute(items.order_by(Item.id)).all()
        return sha256_json(
            [row.settings, [list(one) for one in answers], [list(one) for one in contents]]
        )


# Parts


@dataclass(frozen=True)
class _Made:
    campaign: int
    key: str
    built: Built


def _made(
    store: Store,
    actor: Actor,
    campaign: int,
    settings: ExportSettings,
    now: datetime,
    only: Collection[str] | None = None,
) -> _Made:
    if settings.pseudonyms == "store":
        require(actor, "see_identity", Thing())
    with store.read() as session:
        gathered = gather(session, actor, "export", campaign)
    gathered = gathered if only is None else gathered.limited(only)
    key = secrets.token_hex(16)
    return _Made(campaign, key, build(gathered, settings, key=key, now=now))


def _write(folder: Path, data: Path, built: Built) -> dict[str, Any]:
    """Writes everything; returns the manifest with the hash of every file."""
    for name, records in built.parts.items():
        write_text(data / f"{name}.jsonl", _lines(map(_plain, records)))
    write_text(folder / "answers.jsonl", _lines(built.answers))
    write_text(folder / "answers.csv", _csv(built.answers))
    write_text(folder / "items.jsonl", _lines(built.items))
    layout = "run" if data == folder else "folder"
    write_text(folder / CARD, card(built.manifest))
    names = [*(data / f"{name}.jsonl" for name in built.parts)]
    names += [folder / name for name in ("answers.jsonl", "answers.csv", "items.jsonl", CARD)]
    files = {path.relative_to(folder).as_posix(): sha256_file(path) for path in names}
    manifest = {**built.manifest, "layout": layout, "files": files}
    write_json(folder / MANIFEST, manifest)
    return manifest


def _registered(
    store: Store,
    actor: Actor,
    made: _Made,
    folder: Path,
    manifest: dict[str, Any],
    now: datetime,
) -> ExportInfo:
    """Remembers the export, and who is in it."""
    path = str(folder.absolute())

    def keep(session: Session) -> ExportInfo:
        campaign_row(session, actor, "export", made.campaign)
        _refuse_changed(session, made)
        session.execute(
            update(DatasetExport)
            .where(DatasetExport.path == path, DatasetExport.stale_at.is_(None))
            .values(stale_at=now, stale_why="replaced by a later export")
        )
        row = DatasetExport(
            campaign_id=made.campaign,
            format=manifest["format"],
            path=path,
            sha256=_data_hash(manifest),
            manifest=manifest,
            pseudonym_key=made.key,
            by=actor.pseudonym,
            created_at=now,
        )
        session.add(row)
        session.flush()
        session.add_all(
            ExportMember(export_id=row.id, response_id=response, revision=revision)
            for response, revision in made.built.members
        )
        session.flush()
        audit.record(session, now, actor.pseudonym, "export", f"export:{row.id}", row.sha256)
        return _info(row)

    return store.transact(keep)


def _refuse_changed(session: Session, made: _Made) -> None:
    """An answer that was withdrawn meanwhile must not stay in a file that nobody looks for."""
    query = select(Response.id, Response.revision).where(Response.campaign_id == made.campaign)
    now = dict(session.execute(query).tuples().all())
    if any(now[response] != revision for response, revision in made.built.members):
        raise Conflict(
            "answers changed while they were exported",
            where=f"campaign {made.campaign}",
            remedy="export again; nothing was written",
        )


def _data_hash(manifest: Mapping[str, Any]) -> str:
    """Hash of the folder of records as `fairlead verify` takes it."""
    parts = [f"{name}.jsonl" for name in manifest["records"]]
    files = manifest["files"]
    prefix = "data/" if manifest["layout"] == "folder" else ""
    return sha256_json({name: files[prefix + name] for name in parts})


def _info(row: DatasetExport) -> ExportInfo:
    return ExportInfo(
        row.id,
        row.campaign_id,
        row.format,
        row.path,
        row.sha256,
        dict(row.manifest),
        row.created_at,
        row.stale_at,
        row.stale_why,
    )


def _refuse_other_folder(folder: Path) -> None:
    if not folder.exists():
        return
    known = folder.is_dir() and (
        not any(folder.iterdir())
        or ((folder / MANIFEST).is_file() and "layout" in read_json(folder / MANIFEST))
    )
    if not known:
        raise ConfigError(
            "the folder holds something else",
            where=str(folder),
            expected="a new or empty folder, or an earlier export",
            remedy="choose another --out; nothing was written",
        )


def _plain(record: Record | dict[str, Any]) -> dict[str, Any]:
    if isinstance(record, Record):
        return {"kind": type(record).__name__, **record.model_dump(mode="json")}
    return record


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows with values as JSON; texts that a spreadsheet would run are made plain text."""
    file = io.StringIO(newline="")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, names)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and value.startswith(FORMULAS):
        return "'" + value
    return value
