"""The loop of online, iterative RLHF: labels, reward model, policy, and again with that policy."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fairlead.core.errors import ConfigError
from fairlead.models.processes import from_first
from fairlead.pipeline.recipe import Recipe, load_recipe
from fairlead.pipeline.runner import Say, run_recipe
from fairlead.pipeline.stage import LabelsPending
from fairlead.pipeline.unrolling import round_name


def load_rounds(path: Path, overrides: Sequence[str], rounds: int | None = None) -> Recipe:
    """A recipe with its rounds written out, as many as it says or as asked for.

    Raises:
        ConfigError: it has no rounds, or is no recipe.
    """
    recipe = load_recipe(path, overrides, rounds=rounds)
    if not any(stage.name.startswith(round_name(1, "")) for stage in recipe.stages):
        raise ConfigError(
            "this recipe has no rounds",
            where=str(path),
            expected="a `rounds` section",
            remedy="run it with `fairlead run`, or write the stages that repeat under `rounds`",
        )
    return recipe


def iterate(
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    wait: bool = False,
    every: float = 30.0,
    say: Say = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Runs the rounds; where people have not answered yet, waits or stops.

    Nothing that is complete runs again, so each look costs no more than reading the campaign. A
    run of three rounds can be made one of four: the first three are kept.

    Args:
        recipe: the rounds, written out.
        folder: of the run.
        resume: go on with a run that was stopped.
        wait: for people, instead of stopping.
        every: seconds between looks.
        say: gets a line per stage, and one when the number of answers changes.
        sleep: how to wait.

    Returns:
        The report.

    Raises:
        LabelsPending: people have not answered everything, and `wait` is not set.
    """
    said = ""
    while True:
        try:
            return run_recipe(recipe, folder, resume=resume, say=say)
        except LabelsPending as error:
            if not wait:
                raise
            if (line := f"waiting: {error.where}: {error.got}") != said:
                say(line)
                said = line
        from_first(lambda: sleep(every))
        resume = True
