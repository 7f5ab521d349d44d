"""`fairlead feedback serve, new, invite, verify`. Loads nothing of torch."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fairlead.cli.shell import Json, for_people, out, print_json
from fairlead.core.errors import ConfigError

if TYPE_CHECKING:
    from fairlead.feedback.store import Store

app = typer.Typer()

Database = Annotated[
    str,
    typer.Option(
        "--db",
        envvar="FAIRLEAD_FEEDBACK_DB",
        help="A file, or postgresql://USER@HOST/NAME. A password is better kept in the"
        " environment than on the command line.",
    ),
]
Origin = Annotated[
    str,
    typer.Option(
        "--public-origin",
        envvar="FAIRLEAD_FEEDBACK_ORIGIN",
        help="The address that browsers show, e.g. https://labels.example.org. Needed behind a"
        " proxy.",
    ),
]
DEFAULT_DB = "feedback.db"
HERE = "http://127.0.0.1:8000"


@app.command()
@for_people
def serve(
    db: Database = DEFAULT_DB,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 for any that is free.")] = 8000,
    public_origin: Origin = "",
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="PEM file, to speak https without a proxy.")
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="PEM file with the certificate's private key.")
    ] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option("--trusted-proxy", help="Address of a proxy whose X-Forwarded-For is true."),
    ] = None,
    access_log: Annotated[
        Path | None,
        typer.Option("--access-log", help="File for the access log, kept 14 days; else stderr."),
    ] = None,
    requests_per_minute: Annotated[
        int, typer.Option("--requests-per-minute", help="Limit for one address.")
    ] = 6000,
    plain_http: Annotated[
        bool,
        typer.Option(
            "--plain-http",
            help="Listen beyond this machine without https. Passwords then cross the network"
            " readable by others.",
        ),
    ] = False,
) -> None:
    """Serve the labelling pages and the API.

    On the first start a link is printed with which the owner makes their account; there are no
    default passwords. The server listens on this machine only, unless told otherwise, and then
    wants https: from a proxy in front (--public-origin) or its own (--certificate, --key).
    """
    from fairlead.feedback.http.serving import Listening, serve_until_stopped
    from fairlead.feedback.http.settings import ServerSettings

    listening = Listening(
        host=host,
        port=port,
        certificate=certificate,
        key=key,
        trusted_proxies=tuple(trusted_proxy or ()),
        access_log=access_log,
        plain_http=plain_http,
    )
    settings = ServerSettings.of(
        public_origin=public_origin, requests_per_minute=requests_per_minute
    )
    serve_until_stopped(db, listening, settings, say=lambda line: out.print(line, highlight=False))


@app.command()
@for_people
def new(
    file: Annotated[Path, typer.Argument(help="YAML file that describes the campaign.")],
    db: Database = DEFAULT_DB,
    as_json: Json = False,
) -> None:
    """Make a campaign, and its project if need be, from a YAML file.

    The file has: project, campaign (names), settings (work: {kind: pairwise, ...}, overlap, ...),
    and if you like guideline (text) or guideline_file, items (a JSON Lines file), state (draft or
    open) and seed. Paths are relative to the file. Running it again adds what is missing.
    """
    from fairlead.feedback.plans import carry_out, read_plan

    plan = read_plan(file)
    with opened(db) as store:
        done = carry_out(store, plan, now=_now())
    if as_json:
        print_json(done.model_dump())
    else:
        out.print(
            f"campaign {done.campaign} ({plan.project}/{plan.campaign}), {done.state}:"
            f" {done.added} items added, {done.known} known",
            highlight=False,
        )


@app.command()
@for_people
def invite(
    role: Annotated[str, typer.Option("--role", help="annotator, lead or owner.")] = "annotator",
    project: Annotated[
        str | None, typer.Option("--project", help="Name of the project they join.")
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many links.")] = 1,
    days: Annotated[int, typer.Option("--days", min=1, max=90, help="How long they work.")] = 7,
    db: Database = DEFAULT_DB,
    public_origin: Origin = HERE,
    as_json: Json = False,
) -> None:
    """Print links with which people make their accounts; each works once."""
    from fairlead.feedback.accounts import invite as make
    from fairlead.feedback.permissions import LOCAL
    from fairlead.feedback.plans import known_role, project_named

    with opened(db) as store:
        number = None if project is None else project_named(store, project)
        valid = timedelta(days=days)
        links = [
            f"{public_origin.rstrip('/')}/invite/"
            + make(store, LOCAL, known_role(role), project=number, valid=valid, now=_now())
            for _ in range(count)
        ]
    if as_json:
        print_json(links)
    else:
        for link in links:
            out.print(link, highlight=False)


@app.command()
@for_people
def verify(db: Database = DEFAULT_DB, as_json: Json = False) -> None:
    """Check the record of who did what: nothing changed, removed or inserted.

    Leaves with status 1 if an entry does not fit.
    """
    from fairlead.feedback.audit import verify_audit

    with opened(db, must_exist=True) as store:
        verdict = verify_audit(store)
    if as_json:
        print_json(
            {
                "whole": verdict.whole,
                "entries": verdict.entries,
                "broken_at": verdict.broken_at,
                "why": verdict.why,
            }
        )
    elif verdict.whole:
        out.print(f"{verdict.entries} entries, nothing was changed", highlight=False)
    else:
        out.print(
            f"[bold red]broken[/] at entry {verdict.broken_at}: {verdict.why}", highlight=False
        )
    if not verdict.whole:
        raise typer.Exit(1)


@contextmanager
def opened(db: str, *, must_exist: bool = False) -> "Generator[Store]":
    """An open database, closed at the end.

    Raises:
        ConfigError: it cannot be opened, or is not there though it must be.
    """
    from fairlead.feedback.store import open_store

    if must_exist and "://" not in db and not Path(db).is_file():
        raise ConfigError("there is no such database", where="--db", got=db)
    store = open_store(db)
    try:
        yield store
    finally:
        store.close()


def _now() -> datetime:
    return datetime.now(UTC)
