import re
from pathlib import Path

import yaml

from fairlead.pipeline import docs
from fairlead.pipeline.recipe import load_recipe

PAGE = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"


def test_page_is_fresh(tmp_path: Path):
    docs.main(tmp_path / "recipes.md")
    remedy = "run `python -m fairlead.pipeline.docs` in the repository's root"
    assert PAGE.read_text() == (tmp_path / "recipes.md").read_text(), remedy


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


def test_every_setting_of_a_stage_is_in_its_table():
    text = PAGE.read_text()
    section = text.partition("## `kind: dpo`")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", section, re.MULTILINE))
    settings = "model reference data test objective train max_length lora"
    assert set(settings.split()) <= set(rows)
    assert rows["model"].startswith(" str or null | **required** | The policy to start from")
    assert "[DPO](#dpo)" in rows["objective"]


def test_choices_and_defaults_are_readable():
    text = PAGE.read_text()
    assert "| `pooling` | `auto` or `last` or `mean` | `auto` |" in text
    assert "| `max_steps` | int > 0 or null | `null` |" in text
    assert "| `fault` | `none` or `random` or" in text


def test_links_lead_to_sections():
    text = PAGE.read_text()
    headings = {heading.lower() for heading in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    links = set(re.findall(r"\]\(#(\w+)\)", text))
    assert len(links) >= 5 and links <= headings
