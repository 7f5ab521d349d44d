"""Pages from templates: everything is escaped, nothing can be marked as safe."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse


def render(
    request: Request, template: str, /, *, status_code: int = 200, **values: Any
) -> HTMLResponse:
    """A page.

    Besides `values`, templates know `request`, `actor` and `csrf` (None and "" for strangers),
    `root`, which goes in front of every path, and `ui_version`, which changes with the static
    files.

    Args:
        request: what is answered.
        template: name of a file in `web/templates`.
        status_code: of the answer.
        values: what the template shows.
    """
    visit = getattr(request.state, "visit", None)
    known = {
        "request": request,
        "actor": None if visit is None else visit.actor,
        "csrf": "" if visit is None else visit.csrf,
        "root": below_root(request, ""),
        "ui_version": ui_version(),
    }
    return HTMLResponse(templates().get_template(template).render(known | values), status_code)


@cache
def templates() -> jinja2.Environment:
    """The templates of the package, which escape whatever they show.

    `safe` is taken away, so that no template can switch the escaping off for a text.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("fairlead.feedback.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    del made.filters["safe"]
    return made


def below_root(request: Request, path: str) -> str:
    """A path of this server as browsers see it."""
    return request.scope.get("root_path", "") + path


def local_path(request: Request) -> str:
    """The path of a request without what the public address puts in front."""
    root, path = request.scope.get("root_path", ""), request.scope["path"]
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


@cache
def static_files() -> dict[str, bytes]:
    """The files of `web/static` by name; only these can be asked for."""
    folder = files("fairlead.feedback.web") / "static"
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}


@cache
def ui_version() -> str:
    """Changes with any static file, so that browsers may keep them for good."""
    contents = sorted(static_files().items())
    digest = hashlib.sha256(b"".join(name.encode() + content for name, content in contents))
    return digest.hexdigest()[:12]
