"""Pictures of every page for the documents: `python tests/feedback/browser/screenshots.py`.

Writes docs/images/feedback/*.png: every page, light and wide; some also dark and narrow.
"""

import io
import tempfile
from pathlib import Path

import tour
from labelling_site import Site, browser_program
from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parents[3] / "docs" / "images" / "feedback"
ALSO_NARROW = ("task-pairwise", "task-ranking", "task-steps", "home")


def main() -> None:
    """Takes all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Site(Path(folder))
        browser = playwright.chromium.launch(executable_path=browser_program())
        for stop in tour.build(site):
            context = browser.new_context(
                viewport={"width": 1200, "height": 800}, reduced_motion="reduce"
            )
            if stop.who is not None:
                context.add_cookies([site.cookie(stop.who)])
            page = context.new_page()
            page.goto(site.url + stop.path)
            if stop.act:
                stop.act(page)
            _dressed(page, stop.name)
            _shot(page, stop.name)
            if stop.name in ALSO_NARROW:
                page.emulate_media(color_scheme="dark", reduced_motion="reduce")
                page.set_viewport_size({"width": 360, "height": 740})
                _shot(page, f"{stop.name}-narrow-dark")
            context.close()
        browser.close()
        site.stop()


def _shot(page: Page, name: str) -> None:
    """A picture of the whole page in 64 colours, which are enough for text and a third as large."""
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    picture.convert("RGB").quantize(64).save(FOLDER / f"{name}.png", optimize=True)


def _dressed(page: Page, name: str) -> None:
    """Some work half done, so that the picture shows what the page is for."""
    if name == "task-pairwise":
        page.get_by_role("radio").nth(4).check()
    if name == "task-ranking":
        for letter in "BA":
            page.get_by_role("button", name=f"Rank next reply {letter}").click()
    if name == "task-steps":
        for i, label in enumerate(("1", "1", "-1")):
            page.locator(f"input[name=label_{i}][value='{label}']").check()
    page.evaluate("document.activeElement.blur()")
    page.evaluate("scrollTo(0, 0)")


if __name__ == "__main__":
    main()
