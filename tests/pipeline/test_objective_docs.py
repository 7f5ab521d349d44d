import re
from pathlib import Path

import pytest
import yaml

from fairlead.objectives import OBJECTIVES
from fairlead.pipeline.methods import Method, methods
from fairlead.pipeline.stages import AnyStage  # noqa: F401  (methods name stages)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "objectives.md"
RECIPES = PAGE.parent / "recipes.md"


def section(method: Method) -> str:
    text = PAGE.read_text().partition(f'<a id="{method.kind}"></a>\n')[2]
    return text.partition("\n<a id=")[0]


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.kind)
def test_a_method_has_its_section(method: Method):
    text = section(method)
    assert text.strip().startswith(f"### {method.title}\n\n`kind: {method.kind}`")
    assert re.findall(r"```math\n(.*?)\n```", text, re.DOTALL) == [method.equation]
    assert method.choose in text and f"Needs: {', '.join(method.needs)}." in text
    assert f"(../recipes/methods/{method.kind}.yaml)" in text


@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
def test_every_setting_of_an_objective_is_in_its_table_with_its_default(kind: str):
    (method,) = [m for m in methods() if m.kind == kind]
    rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| `(.*?)` \| .+ \|$", section(method), re.M))
    fields = {k: f for k, f in OBJECTIVES[kind].model_fields.items() if k != "kind"}
    assert set(rows) == set(fields)
    for name, field in fields.items():
        shown = yaml.safe_load(rows[name])
        default = field.get_default(call_default_factory=True)
        assert shown == (list(default) if isinstance(default, tuple) else default)


def test_rollout_defaults_of_a_method_are_shown():
    (dapo,) = [m for m in methods() if m.kind == "dapo"]
    (shown,) = re.findall(r"Its own `rollouts` settings: `(.*)`", section(dapo))
    assert yaml.safe_load(shown) == OBJECTIVES["dapo"].rollouts


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.kind)
def test_the_stage_that_runs_a_method_is_documented(method: Method):
    headings = re.findall(r"^## `kind: (\w+)`$", RECIPES.read_text(), re.M)
    named = re.findall(r"stage `(\w+)`", method.how)
    assert set(named) <= set(headings)
