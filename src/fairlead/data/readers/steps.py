"""Formats of solutions judged step by step."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from fairlead.data.readers.fields import first_of, has, items, prompt, shown, string, whole
from fairlead.data.readers.registry import BadRow, Row, reader
from fairlead.records import Provenance, StepLabels

Label = Literal[-1, 0, 1] | None
LABELS: dict[int | None, Label] = {-1: -1, 0: 0, 1: 1, None: None}

PROMPT_FIELDS = ("prompt", "problem", "input", "question")
STEP_FIELDS = ("steps", "completions", "model_output_steps")
FIRST_ERROR = "model_output_solution_first_error_step"


def _is_steps(row: Row) -> bool:
    stepped = any(name in row for name in STEP_FIELDS)
    judged = any(name in row for name in ("labels", "mistake_index", "label", FIRST_ERROR))
    return (stepped and judged) or _is_prm800k(row)


def _is_prm800k(row: Row) -> bool:
    label = row.get("label")
    return "question" in row and isinstance(label, Mapping) and "steps" in label


@reader("steps", _is_steps)
def steps(row: Row, at: Provenance) -> Iterator[StepLabels]:
    """A solution in steps with a judgement of each.

    `labels`: one of 1, 0, -1, null or true/false per step (TRL's stepwise supervision, PRM data).
    `mistake_index` (BIG-Bench Mistake; null = no mistake) and an integer `label` (ProcessBench;
    -1 = no mistake) give the first wrong step counted from 0,
    `model_output_solution_first_error_step` (MR-GSM8K) counted from 1: steps before it are right,
    it is wrong, and steps after it are unlabelled. PRM800K rows are read along the chosen path;
    its rows that tested the labellers are refused.
    """
    if _is_prm800k(row):
        _check_hygiene(row)
        yield _prm800k(row, at)
        return
    name = first_of(row, *STEP_FIELDS)
    texts = tuple(string(s, f"{name}[{i}]") for i, s in enumerate(items(row[name], name)))
    labels = _labels(row, len(texts))
    yield StepLabels(prompt=prompt(row, at, *PROMPT_FIELDS), steps=texts, labels=labels)


def _labels(row: Row, count: int) -> tuple[Label, ...]:
    name = first_of(row, "labels", "mistake_index", "label", FIRST_ERROR)
    value = row[name]
    if name == "labels":
        return _each(items(value, name), count)
    if name == "mistake_index":
        return until_error(None if value is None else whole(value, name, 0, count - 1), count)
    if name == "label":
        first = whole(value, name, -1, count - 1)
        return until_error(None if first == -1 else first, count)
    return until_error(whole(value, name, 1, count) - 1, count)


def _each(values: Any, count: int) -> tuple[Label, ...]:
    if len(values) != count:
        raise BadRow("labels", f"{count} labels, one per step", f"{len(values)} labels")
    return tuple(_label(value, f"labels[{i}]") for i, value in enumerate(values))


def _label(value: Any, field: str) -> Label:
    if isinstance(value, bool):
        return 1 if value else -1
    if value is not None and (not isinstance(value, int) or value not in LABELS):
        raise BadRow(field, "1, 0, -1, null, true or false", shown(value))
    return LABELS[value]


def until_error(first: int | None, count: int) -> tuple[Label, ...]:
    """Labels of `count` steps of which `first` (from 0) is the first wrong one; None: all right."""
    if first is None:
        return tuple(LABELS[1] for _ in range(count))
    return tuple(LABELS[1 if i < first else -1 if i == first else None] for i in range(count))


def _check_hygiene(row: Row) -> None:
    for name in ("is_quality_control_question", "is_initial_screening_question"):
        if row.get(name):
            raise BadRow(name, "false: such rows tested the labellers", shown(row[name]))


def _prm800k(row: Row, at: Provenance) -> StepLabels:
    question = row["question"]
    if not has("problem")(question if isinstance(question, Mapping) else {}):
        raise BadRow("question.problem", "the field to be there", shown(question))
    nodes = items(row["label"]["steps"], "label.steps")
    path = [_chosen_step(node, f"label.steps[{i}]") for i, node in enumerate(nodes)]
    return StepLabels(
        prompt=prompt(question, at, "problem"),
        steps=tuple(text for text, _ in path),
        labels=tuple(label for _, label in path),
    )


def _chosen_step(node: Any, field: str) -> tuple[str, Label]:
    """The completion the labeller went on from: the chosen one, their own, or the only one."""
    if not isinstance(node, Mapping):
        raise BadRow(field, "a step with completions", shown(node))
    chosen = node.get("chosen_completion")
    if chosen is None and isinstance(node.get("human_completion"), Mapping):
        step = node["human_completion"]
    else:
        options = items(node.get("completions"), f"{field}.completions")
        last = len(options) - 1
        step = options[
            0 if chosen is None else whole(chosen, f"{field}.chosen_completion", 0, last)
        ]
    if not isinstance(step, Mapping):
        raise BadRow(field, "a completion with text and rating", shown(step))
    return string(step.get("text"), f"{field}.text"), _label(step.get("rating"), f"{field}.rating")
