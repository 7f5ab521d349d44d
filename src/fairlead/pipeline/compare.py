"""Methods on the same data with the same budget, over several seeds."""

import multiprocessing
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fairlead.core.errors import ConfigError
from fairlead.objectives import OBJECTIVES
from fairlead.pipeline.recipe import Recipe, parse_recipe
from fairlead.pipeline.runner import Say, run_recipe
from fairlead.pipeline.stage import Stage
from fairlead.pipeline.stages import EvaluateStage, RLStage
from fairlead.report.comparison import Comparison, compare_runs


def compare(
    recipe: Recipe,
    methods: Sequence[str] | None,
    *,
    seeds: int,
    folder: Path,
    budget: int | None = None,
    jobs: int = 1,
    say: Say = lambda _: None,
) -> Comparison:
    """Runs the recipe for every seed and puts the methods side by side.

    What is complete is not run again, and a comparison that was stopped goes on where it was.

    Args:
        recipe: the stages that all methods share, the methods' own stages, and one evaluate stage
            whose policies are the methods.
        methods: which of them, None for all; one that the recipe has no stage for is made from the
            stage of a method of its kind, with its own defaults.
        seeds: how many, from the recipe's seed on.
        folder: gets a run folder for every seed.
        budget: token passes that each method may spend; None for its own settings.
        jobs: seeds at once, each with its share of the cores.
        say: gets a line per stage.

    Raises:
        ConfigError: the recipe cannot be compared, or a method is unknown.
    """
    started = time.monotonic()
    methods = list(_evaluation(recipe).policies) if methods is None else methods
    chosen = comparison_recipe(recipe, methods, budget)
    runs = [(recipe.seed + i, folder / f"seed-{recipe.seed + i}") for i in range(seeds)]
    works = [(chosen.model_copy(update={"seed": seed}), path) for seed, path in runs]
    if jobs == 1:
        for one, path in works:
            run_recipe(one, path, resume=True, say=_prefixed(say, path))
    else:
        _run_together(works, jobs)
    return compare_runs(
        recipe.name,
        runs,
        {method: method for method in methods},
        evaluation=_evaluation(chosen).name,
        budget=budget,
        seconds=time.monotonic() - started,
    )


def comparison_recipe(recipe: Recipe, methods: Sequence[str], budget: int | None) -> Recipe:
    """The recipe with these methods and what they need, and nothing else.

    Raises:
        ConfigError: see `compare`.
    """
    evaluation = _evaluation(recipe)
    known = {name: reference[1:] for name, reference in evaluation.policies.items()}
    stages = {stage.name: stage for stage in recipe.stages}
    examples = [stages[name] for name in known.values() if name in stages]
    own = {
        method: stages[known[method]] if method in known else _made(method, examples, recipe)
        for method in methods
    }
    raw = [_renamed(stage, method, budget) for method, stage in own.items()]
    changed: dict[str, Any] = evaluation.model_dump(mode="json", exclude_unset=True)
    changed |= {"kind": "evaluate", "policies": {method: f"@{method}" for method in methods}}
    measuring = evaluation.model_copy(update={"policies": {}})
    needed = _needed([*own.values(), measuring], stages) - set(known.values())
    shared = [
        {"kind": s.kind, **s.model_dump(mode="json", exclude_unset=True)}  # pyright: ignore
        for s in recipe.stages
        if s.name in needed and s.name != evaluation.name
    ]
    whole = {"name": recipe.name, "seed": recipe.seed, "stages": [*shared, *raw, changed]}
    return parse_recipe(whole, where=f"comparison of {', '.join(methods)}")


def _evaluation(recipe: Recipe) -> EvaluateStage:
    found = [stage for stage in recipe.stages if isinstance(stage, EvaluateStage)]
    if len(found) != 1:
        raise ConfigError(
            "a comparison needs one stage that measures all methods",
            where=f"recipe {recipe.name}",
            expected="exactly one stage of kind evaluate",
            got=f"{len(found)}",
            remedy="add one whose `policies` names every method's stage",
        )
    return found[0]


def _made(method: str, examples: Sequence[Stage], recipe: Recipe) -> Stage:
    """A stage for a method that the recipe does not have: another's with its objective changed."""
    objective = OBJECTIVES.get(method)
    for example in examples if objective is not None else ():
        present = getattr(example, "objective", None)
        if present is not None and objective is not None and _alike(present, objective):
            with suppress(ValidationError):  # a stage for objectives of another sort
                return _with_objective(example, method)
    named = ", ".join(_evaluation(recipe).policies)
    raise ConfigError(
        f"the recipe has no stage for {method!r}, and none to make one from",
        where=f"recipe {recipe.name}",
        expected=f"one of its methods ({named}), or an objective of the same batch as one of them",
        got=method,
        remedy="add a stage and name it in the evaluate stage's policies; `fairlead methods` "
        "lists all methods",
    )


def _with_objective(example: Stage, kind: str) -> Stage:
    """The same stage for another objective."""
    if isinstance(example, RLStage):
        return example.with_objective(kind)
    values = example.model_dump(mode="json", exclude_unset=True)
    values |= {"kind": example.kind, "objective": {"kind": kind}}  # pyright: ignore
    return type(example).model_validate(values)


def _alike(present: Any, objective: type[Any]) -> bool:
    """Whether one objective can stand in another's stage."""
    online = "rollouts"
    return present.batch is objective.batch or (
        # Pairs and thumbs are made from the same records.
        not {online} & {str(n) for n in (*present.needs, *objective.needs)}
        and {present.batch.__name__, objective.batch.__name__}
        <= {"PreferenceBatch", "UnpairedBatch"}
    )


def _renamed(stage: Stage, method: str, budget: int | None) -> dict[str, Any]:
    """A stage as plain data, named as its method, with the budget."""
    raw = stage.model_dump(mode="json", exclude_unset=True)
    raw |= {"kind": stage.kind, "name": method}  # pyright: ignore
    if budget is not None:
        raw["train"] = {**raw.get("train", {}), "max_token_passes": budget}
    return raw


def _needed(stages: Sequence[Stage], known: Mapping[str, Stage]) -> set[str]:
    """Names of all stages that these build on, directly or not."""
    found: set[str] = set()
    waiting = [name for stage in stages for name in stage.upstream()]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += known[name].upstream()
    return found


def _prefixed(say: Say, path: Path) -> Say:
    return lambda line: say(f"{path.name}: {line}")


def _run_together(works: Sequence[tuple[Recipe, Path]], jobs: int) -> None:
    """Seeds in processes of their own, each with its share of the cores."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(max((os.cpu_count() or 1) // jobs, 1))
    try:
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(_run_one, works))
    finally:
        os.environ.pop("OMP_NUM_THREADS")
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def _run_one(work: tuple[Recipe, Path]) -> None:
    recipe, path = work
    run_recipe(recipe, path, resume=True, say=_prefixed(_to_stderr, path))


def _to_stderr(line: str) -> None:
    os.write(2, f"{line}\n".encode())
