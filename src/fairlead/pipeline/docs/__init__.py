"""Pages of docs/ that are written from the code, so that they cannot fall behind it."""

from pathlib import Path

from fairlead.core.files import write_text
from fairlead.pipeline.docs import objectives, recipes


def main(folder: Path = Path("docs")) -> None:
    """Writes recipes.md and objectives.md into a folder."""
    write_text(folder / "recipes.md", recipes.page())
    write_text(folder / "objectives.md", objectives.page())
