"""lm-evaluation-harness (EleutherAI): its tasks asked of our models."""

# The package is an extra: its types are not there when this is checked.
# pyright: reportMissingImports=false

import math
from typing import Any

from fairlead.audits.base import Model
from fairlead.audits.harnesses.paired import ItemScore, Scores, required
from fairlead.core.errors import ConfigError, DataError
from fairlead.generation.local import evaluating
from fairlead.models.trunk import unpacked

EXTRA = "lm-eval"
BATCH = 16
"""Sequences that lm-eval computes together."""


def evaluated(
    task: str,
    model: Model,
    *,
    metric: str,
    few_shot: int | None,
    limit: int | None,
    chat: bool,
    seed: int,
) -> Scores:
    """Runs a task of lm-eval on a model in this process.

    Args:
        task: its name, or a YAML file that describes one.
        model: who is asked; its weights are at hand.
        metric: which number of an item counts.
        few_shot: worked examples in the prompt; None for the task's own number.
        limit: items at most.
        chat: put questions by the model's chat template.
        seed: of whatever the task draws.

    Raises:
        ConfigError: lm-eval is not installed, or the task has no such metric.
        DataError: the task has no items.
    """
    lm_eval = required("lm_eval", EXTRA)
    from lm_eval.models.huggingface import HFLM

    policy = model.policy
    assert policy is not None
    with evaluating(policy.model), unpacked(policy.model):
        found = lm_eval.simple_evaluate(
            model=HFLM(pretrained=policy.model, tokenizer=policy.tokenizer, batch_size=BATCH),
            tasks=[task],
            num_fewshot=few_shot,
            limit=limit,
            log_samples=True,
            bootstrap_iters=0,
            apply_chat_template=chat,
            random_seed=seed,
            numpy_random_seed=seed,
            torch_random_seed=seed,
            fewshot_random_seed=seed,
        )
    items = [(name, one) for name, several in found["samples"].items() for one in several]
    if not items:
        raise DataError("the task has no items", where=task, remedy="raise `limit`")
    return {f"{name}/{one['doc_id']}": _score(one, metric, task) for name, one in items}


def _score(item: dict[str, Any], metric: str, task: str) -> ItemScore:
    if metric not in item:
        numbers = [key for key, value in item.items() if isinstance(value, int | float)]
        raise ConfigError(
            f"the task has no metric {metric!r}",
            where=task,
            expected=", ".join(sorted(set(numbers) - {"doc_id"})) or "a number by item",
            remedy="set metric: to one of these",
        )
    value = float(item[metric])
    arguments = item["arguments"]
    first = arguments[0] if isinstance(arguments, list) else next(iter(arguments.values()))
    prompt = first[0] if isinstance(first, list | tuple) else first.get("arg_0", "")
    return ItemScore(
        value=value,
        state="parse_fail" if math.isnan(value) else "scored",
        prompt=str(prompt),
        reply=str(item.get("filtered_resps", "")),
    )
