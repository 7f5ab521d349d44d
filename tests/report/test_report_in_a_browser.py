"""The page as people meet it: no network, axe, 320 px, light and dark, and on paper."""

import re
import shutil
from pathlib import Path

import pytest

from fairlead.core.results import Finding
from fairlead.report import write_report
from planted_audits import binary_gate, findings, write_audited

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
LOOKS = [("light", 1280), ("dark", 320)]


@pytest.fixture(scope="module")
def browser():
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chrome or Chromium on the path (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as found:
        opened = found.chromium.launch(executable_path=program, args=["--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, finished_run: Path) -> dict[str, str]:
    """Addresses of three reports: audited, with far too much to say, and not audited."""
    root = tmp_path_factory.mktemp("pages")
    many = [
        binary_gate(
            f"behaviours and attitudes/a rather long name of a measure, number {i}",
            "probability of the answer that shows the behaviour in question, over paraphrases",
            items=300,
            before=0.1,
            more=-0.01 if i % 2 else 0.05,
            margin=0.03,
            refused=0.05 if i % 2 else 0,
        )
        for i in range(40)
    ]
    notes = tuple(f"The judge is unvalidated on set {i}: nobody gave labels." for i in range(8))
    crowded = Finding(audit="many", question="Many?", gates=tuple(many), judge=notes)
    runs = {
        "audited": write_audited(root / "a" / "run", findings()),
        "crowded": write_audited(root / "b" / "run", [*findings(), ("behaviours", crowded)]),
        "not audited": finished_run,
    }
    return {name: write_report(run).as_uri() for name, run in runs.items()}


def test_pages_load_nothing_fit_320_px_and_pass_axe(browser, pages):
    found: list[str] = []
    page = browser.new_page()
    page.on("request", lambda sent: found.append(f"request: {sent.url}"))
    for name, address in pages.items():
        page.goto(address)
        assert found == [f"request: {address}"]
        found.clear()
        for scheme, width in LOOKS:
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append(f"{name} {scheme} {width}: scrolls sideways")
            if name == "crowded":
                continue
            wrong = axe.Axe().run(page).response["violations"]
            found += [f"{name} {scheme} {width}: {w['id']} {w['nodes'][0]['html']}" for w in wrong]
        assert found == []
    page.close()


@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_the_summary_prints_on_two_pages(browser, pages, paper: str):
    for name, address in pages.items():
        page = browser.new_page()
        page.goto(address)
        whole = sheets(page.pdf(format=paper))
        page.add_style_tag(content="header, .summary { display: none !important; }")
        rest = sheets(page.pdf(format=paper))
        assert 1 <= whole - rest <= 2, name
        page.close()


def sheets(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))


def test_paper_is_white_in_the_dark(browser, pages):
    page = browser.new_page()
    page.goto(pages["audited"])
    page.emulate_media(media="print", color_scheme="dark")
    colours = page.evaluate(
        "(({color, backgroundColor}) => [color, backgroundColor])"
        "(getComputedStyle(document.querySelector('#verdict')))"
    )
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    page.close()
