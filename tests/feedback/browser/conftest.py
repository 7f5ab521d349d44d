"""A server, a browser and people in it. One browser per file of tests, one context per person."""

import pytest
from labelling_site import Site, browser_program

playwright = pytest.importorskip("playwright.sync_api")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A running server."""
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def present(site):
    """Every test starts at the server's own time."""
    yield
    site.ahead *= 0


@pytest.fixture(scope="module")
def chromium():
    """A running browser."""
    program = browser_program()
    if program is None:
        pytest.skip("no Chrome or Chromium on the path (Debian: apt-get install chromium)")
    # Stopped after each file: while it runs, no other test of this process may start a loop.
    with playwright.sync_playwright() as found:
        opened = found.chromium.launch(executable_path=program, args=["--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture
def visit(site, chromium):
    """Opens a page as somebody; anything that leaves the server fails the test."""
    contexts, strangers = [], []

    def open_page(who=None, path="/", **options):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(30_000)
        contexts.append(context)
        if who is not None:
            context.add_cookies([site.cookie(who)])
        page = context.new_page()
        page.on("request", lambda sent: strangers.append(sent.url))
        page.on("dialog", lambda shown: strangers.append(f"dialog: {shown.message}"))
        page.on("pageerror", lambda error: strangers.append(f"script error: {error}"))
        page.goto(site.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [one for one in strangers if not one.startswith(f"{site.url}/")] == []
