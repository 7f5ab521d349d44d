"""docs/recipes.md, from the stages themselves."""

from pydantic import BaseModel

from fairlead.pipeline.docs.tables import nested, own_fields, section, stages
from fairlead.pipeline.recipe import Recipe

INTRODUCTION = """\
# Recipes

A recipe is a YAML file: a `name`, a `seed` and a list of `stages`, run in order.
`fairlead run RECIPE` runs it, `--dry-run` prints the plan and writes nothing, and `--out` names
the run folder (`runs/NAME` if not given). A key that is not listed here is refused. In Python the
same is `Recipe(name=..., stages=(SFTStage(...), ...))` and `run_recipe`.

```yaml
name: my-run
let:
  data: {path: null}
  length: 512
stages:
  - {name: data, kind: records, path: "${data.path}"}
  - {name: sft, kind: sft, model: some/model, data: "@data/train.jsonl", max_length: "${length}"}
```

**`@stage` and `@stage/file`** refer to an earlier stage. Where a model is asked for, `@sft` is the
model that the stage `sft` trained; where records are asked for, `@data/train.jsonl` is a file that
the stage `data` wrote. Anything else is a path or a hub name; a model may also be
`package:NAME/FOLDER`, a folder inside an installed Python package.

**`let`** holds values that stages take up as `${a.b}`. What is `null` there is for the command
line to give.

**Overrides** are `key=value` after the recipe, with values in YAML. A key is `seed`, `name`, a
value of `let`, or a setting of a stage; a key that the recipe or the stage does not have is
refused:

```bash
fairlead run my-run.yaml data.path=comparisons.jsonl length=256 sft.train.learning_rate=1.0e-5
```

**`rounds`** holds stages that run several times, each time from what the last round left:

    rounds:
      count: 3
      before:
        policy: {first: "@sft", then: "@policy"}
        labels: {first: null, then: "@label/train.jsonl"}
      stages:
        - {name: label, kind: label, policy: "${before.policy}", earlier: "${before.labels}", ...}
        - {name: reward, kind: reward, model: "@sft", data: "@label/train.jsonl"}
        - {name: policy, kind: rl, model: "@sft", reward: "@reward", data: "@data/train.jsonl"}

They become the stages `round-1-label`, `round-1-reward`... with folders of their own. `${before.x}`
is `first` in the first round and then `then` of the round before; `@label` is the same round's
stage, `${round}` its number. `fairlead iterate` runs such a recipe, with `--rounds` for another
number; the rounds that are there already are kept.

**Running again** does only what is needed: a stage whose settings and inputs are unchanged is kept,
the others and what depends on them run. After an interruption `--resume` goes on from the newest
checkpoint, bit for bit. `fairlead verify RUN` checks every file against its recorded hash.

**Where the time goes**: with `--profile` a run ends with a table for every stage that trains, and
one for the whole run: sampling, scoring, forward, backward, optimizer, logging, waiting and so on,
in seconds and shares that add up. `profile/profile.json` in the run folder holds the same numbers,
`profile/STAGE/trace.json` every operation of three optimizer steps after a warm-up, for
chrome://tracing or https://ui.perfetto.dev. Tracing slows these steps down. A resumed stage is
timed from there on. Results do not change, and nothing is timed without it.
"""


def page() -> str:
    """The page as Markdown: every stage with its settings, then the settings that they share."""
    parts = [INTRODUCTION, "## The recipe\n", section(Recipe, own_fields(Recipe))]
    for stage in stages():
        kind = stage.model_fields["kind"].default
        parts += [f"## `kind: {kind}`\n", section(stage, own_fields(stage) - {"name"})]
    parts.append("# Settings within stages\n")
    for model in nested(stages()):
        parts += [f"## {model.__name__}\n", _kind(model), section(model, own_fields(model))]
    return "\n".join(parts)


def _kind(model: type[BaseModel]) -> str:
    """What chooses the model where there are several."""
    field = model.model_fields.get("kind")
    return "" if field is None else f"`kind: {field.default}`\n"
