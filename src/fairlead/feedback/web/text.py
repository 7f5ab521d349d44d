"""Markdown of models and people as it is shown: nothing in it runs, loads or hides."""

import re

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

from fairlead.core.unseen import spelt_out

_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "code"),
    *("strong", "em", "s", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a"),
}
_MARKDOWN = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(
    ["table", "strikethrough"]
)
_HEADING = re.compile(r"<(/?)h[1-6]>")


def rendered(text: str) -> Markup:
    """Markdown as HTML without raw HTML, images, styles, scripts and addresses that run code.

    Headings become bold lines, so that a reply adds nothing to the outline of the page.
    """
    html = _HEADING.sub(_as_line, _MARKDOWN.render(spelt_out(text)))
    # Cleaned by an allow-list that has neither scripts, styles nor images.
    return Markup(  # noqa: S704
        nh3.clean(
            html,
            tags=_TAGS,
            attributes={"a": {"href"}, "p": {"class"}},
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer nofollow",
        )
    )


def _as_line(found: re.Match[str]) -> str:
    return "</strong></p>" if found[1] else '<p class="heading"><strong>'
