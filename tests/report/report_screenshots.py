"""Picture of a report for the documents: `python tests/report/report_screenshots.py [RUN]`.

Writes docs/images/report.png: the summary of RUN/report.html, light and wide; without RUN, of a run
whose findings are made up (`tests/planted_audits.py`).
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from fairlead.report import write_report

TARGET = Path(__file__).parents[2] / "docs" / "images" / "report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def main(run: Path) -> None:
    """Renders the report again and takes the picture."""
    program = next(found for name in BROWSERS if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.goto(write_report(run).absolute().as_uri())
        end = page.evaluate("document.querySelector('.summary').getBoundingClientRect().bottom")
        picture = page.screenshot(
            full_page=True, clip={"x": 0, "y": 0, "width": 1200, "height": min(end + 16, 1800)}
        )
        browser.close()
    # A palette keeps a page of text at a quarter of its size.
    image = Image.open(io.BytesIO(picture)).convert("P", palette=Image.Palette.ADAPTIVE, colors=128)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    image.save(TARGET, optimize=True)
    sys.stdout.write(f"{TARGET}: {TARGET.stat().st_size / 1024:.0f} KiB\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from planted_audits import findings, write_audited

        with tempfile.TemporaryDirectory() as folder:
            main(write_audited(Path(folder) / "run", findings()))
