import re
from pathlib import Path

import pytest
import yaml

from fairlead.pipeline import docs
from fairlead.pipeline.recipe import load_recipe

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "recipes.md"


@pytest.mark.parametrize("name", ["recipes.md", "objectives.md"])
def test_page_is_fresh(tmp_path: Path, name: str):
    docs.main(tmp_path)
    remedy = "run `python -m fairlead.pipeline.docs` in the repository's root"
    assert (DOCS / name).read_text() == (tmp_path / name).read_text(), remedy


def test_the_example_loads_with_the_overrides_it_shows(tmp_path: Path):
    text = PAGE.read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (command,) = re.findall(r"```bash\nfairlead run (.*?)\n```", text, re.DOTALL)
    name, *overrides = command.split()
    (tmp_path / name).write_text(example)
    recipe = load_recipe(tmp_path / name, overrides)
    assert recipe.name == yaml.safe_load(example)["name"]
    assert recipe.model_dump()["stages"][0]["path"] == "comparisons.jsonl"
    assert recipe.model_dump()["stages"][1]["max_length"] == 256


def rows_of(heading: str) -> dict[str, str]:
    section = PAGE.read_text().partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", section, re.MULTILINE))


def test_every_setting_of_a_stage_is_in_its_table():
    rows = rows_of("## `kind: rl`")
    settings = "model reward cost data objective rollouts train value min_gap lora"
    assert set(settings.split()) <= set(rows)
    assert rows["model"].startswith(" str or null | **required** | The policy to start from")
    assert rows["objective"].startswith(" [objective](objectives.md) | `{kind: ppo}` |")
    assert rows["rollouts"].startswith(" [RolloutConfig](#rolloutconfig) |")


def test_named_choices_are_spelt_out():
    rows = rows_of("## RolloutConfig")
    assert rows["credit"].startswith(" [GAE](#gae) or [MacroGAE](#macrogae) or ")
    assert "`kind: gae`" in PAGE.read_text().partition("\n## GAE\n")[2][:30]
    assert " or [ParSpec](#parspec) or " in rows_of("## `kind: rl`")["reward"]


def test_every_link_within_the_page_has_its_heading():
    text = PAGE.read_text()
    linked = set(re.findall(r"\]\(#([\w-]+)\)", text))
    headings = {line.strip("# ").lower() for line in text.splitlines() if line.startswith("#")}
    assert linked - headings == set()


def test_choices_and_defaults_are_readable():
    text = PAGE.read_text()
    assert "| `pooling` | `auto` or `last` or `mean` | `auto` |" in text
