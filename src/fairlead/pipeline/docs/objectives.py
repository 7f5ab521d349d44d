"""docs/objectives.md, from the objectives themselves and the table of procedures."""

import re

from fairlead.objectives import OBJECTIVES
from fairlead.pipeline.docs.tables import flow, own_fields, section
from fairlead.pipeline.methods import Family, Method, methods

INTRODUCTION = """\
# Methods

What each method minimises, what it needs, when to choose it, and its settings with their defaults.
`fairlead methods` lists them. A recipe names an objective by its `kind`:

```yaml
- name: policy
  kind: preference
  model: "@sft"
  data: "@data/train.jsonl"
  objective: {kind: dpo, beta: 0.05}
```

Notation: prompt $x$, reply $y$, chosen $y_w$ and rejected $y_l$; policy $\\pi$ and reference
$\\pi_{ref}$; reward $r$; advantage $A$; ratio $\\rho$ of the policy to the one that sampled;
$\\sigma$ is the logistic function and $h$ the difference of the two log-ratios to the reference.
Expectations are over the data or the rollouts, and are means over the whole optimizer step.
"""


def page() -> str:
    """The page as Markdown: every method, by family."""
    every = methods()
    parts = [INTRODUCTION]
    for family in Family:
        own = [method for method in every if method.family == family]
        if own:
            parts += [_heading(family, own), *map(_section, own)]
    return "\n".join(parts)


def _heading(family: Family, own: list[Method]) -> str:
    links = ", ".join(f"[`{method.kind}`](#{method.kind})" for method in own)
    return f"## {family.capitalize()}\n\n{links}\n"


def _section(method: Method) -> str:
    parts = [
        f'<a id="{method.kind}"></a>\n',
        f"### {method.title}\n",
        f"`kind: {method.kind}` \N{MIDDLE DOT} {_linked(method.source)}\n",
        f"```math\n{method.equation}\n```\n",
        f"{method.choose}\n",
        f"Needs: {', '.join(method.needs)}. Runs as: {_stages(method.how)}. "
        f"[Recipe](../recipes/methods/{method.kind}.yaml)\n",
        *_settings(method.kind),
    ]
    return "\n".join(parts)


def _linked(source: str) -> str:
    return re.sub(r"arXiv:(\d{4}\.\d{5})", r"[\g<0>](https://arxiv.org/abs/\1)", source)


def _stages(how: str) -> str:
    return re.sub(r"stage `(\w+)`", r"stage [`\1`](recipes.md#kind-\1)", how)


def _settings(kind: str) -> list[str]:
    """Settings of an objective; those of other methods are their stage's."""
    objective = OBJECTIVES.get(kind)
    if objective is None:
        return []
    table = section(objective, own_fields(objective)).replace("](#", "](recipes.md#")
    rollouts = getattr(objective, "rollouts", {})
    own = f"Its own `rollouts` settings: `{flow(rollouts)}`\n"
    return [table, own] if rollouts else [table]
