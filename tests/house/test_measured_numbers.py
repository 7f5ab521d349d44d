"""Numbers in the README come from the committed results."""

from pathlib import Path

from benchmarks.readme import filled

README = Path(__file__).parents[2] / "README.md"


def test_readme_shows_the_committed_results():
    text = README.read_text()
    assert filled(text) == text, "run `python -m benchmarks.readme`"
