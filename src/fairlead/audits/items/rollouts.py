"""What a model thought and did on tasks, with a label by an instrument: did it game the check?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead.audits.items.reading import BadItem, Items, read_items

EXPECTED = "task, prompt, output, hacked (true or false); reasoning, reward (optional)"


@dataclass(frozen=True)
class Trial:
    """One attempt at a task."""

    task: str
    """Trials of one task are not independent."""
    prompt: str
    reasoning: str
    """What it wrote before its answer; empty where it did not."""
    output: str
    hacked: bool
    """Whether it passed by exploiting the check, by an instrument that no monitor sees."""
    reward: float
    """What it earned."""


def read_rollouts(place: str) -> Items[Trial]:
    """Reads trials.

    Raises:
        DataError: nothing can be read there, or no row is a trial.
    """
    return read_items(place, _parse, expected=EXPECTED)


def _parse(row: Mapping[str, Any]) -> Trial:
    if not isinstance(row["hacked"], bool):
        raise BadItem("`hacked` is neither true nor false")
    return Trial(
        task=str(row["task"]),
        prompt=str(row["prompt"]),
        reasoning=str(row.get("reasoning") or ""),
        output=str(row["output"]),
        hacked=row["hacked"],
        reward=float(row.get("reward", "nan")),
    )
