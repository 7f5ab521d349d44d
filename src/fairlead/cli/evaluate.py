"""What `fairlead evaluate` does."""

from pathlib import Path
from typing import Any

from rich.table import Table

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.data.convert import preferences
from fairlead.data.readers import read
from fairlead.judges.pairwise import BETTER, PairwiseJudge
from fairlead.models.loading import load_reward_model
from fairlead.pipeline.judging import cost_of, measure_judge
from fairlead.pipeline.respondents import respondent_spec
from fairlead.pipeline.reward_accuracy import measure
from fairlead.pipeline.stage import Context
from fairlead.records import Comparison, Ranking, Record


def reward_accuracy(checkpoint: str, data: str, *, format: str, max_length: int) -> dict[str, Any]:
    """Accuracy with its interval as JSON values: estimates, the table by subset, counts, notes."""
    model = load_reward_model(checkpoint).eval()
    result = read(data, format)
    length = min(max_length, model.context)
    measured = measure(model, preferences(result.records), max_length=length)
    return {
        "estimates": [e.model_dump(mode="json") for e in measured.estimates],
        "subsets": [
            dict(zip(measured.tables[0].columns, row, strict=True))
            for row in measured.tables[0].rows
        ],
        "rejected_rows": len(result.rejected),
        "ties": sum(map(is_tie, result.records)),
        "notes": list(measured.notes),
    }


def judge_quality_of(
    judge: str,
    data: str,
    *,
    format: str,
    question: str | None,
    most: int | None,
    repeats: int,
    seed: int,
    cache: Path,
) -> dict[str, Any]:
    """How a judge does on comparisons by people, as JSON values.

    Raises:
        DataError: the data holds no comparisons.
    """
    spec, root = respondent_spec(judge, where="judge"), Seed(seed)
    found = [r for r in read(data, format).records if isinstance(r, Comparison)]
    if not found:
        raise DataError(
            "the data holds no comparisons",
            where=data,
            expected="pairs of replies of which people preferred one",
            remedy="check the format of the data; `fairlead inspect` shows what was read",
        )
    order = root.child("pairs").numpy().permutation(len(found))[:most]
    people = [found[i] for i in sorted(order.tolist())]
    at = Context(run_dir=cache, folder=cache, seed=root, resume=False)
    respondent = spec.respondent(at, None, root.child("judge"))
    measured = measure_judge(
        PairwiseJudge([respondent], seed=root.child("fences")),
        people,
        question=question or BETTER,
        repeats=repeats,
        seed=root,
        cost=cost_of([spec]),
    )
    return measured.model_dump(mode="json")


def show_judge(measured: dict[str, Any]) -> Table:
    """The same as a table."""
    ends = ", ".join(f"{count} {state}" for state, count in measured["states"].items())
    missing = "; ".join(f"{name}: {why}" for name, why in measured["missing"].items())
    caption = f"{measured['pairs']} pairs: {ends}" + (
        f"\nnot measured: {missing}" if missing else ""
    )
    table = Table("measure", "value", "low", "high", "n", title="Judge", caption=caption)
    for one in measured["estimates"]:
        numbers = (f"{one[key]:.3f}" for key in ("value", "low", "high"))
        table.add_row(one["name"], *numbers, str(one["n"]))
    return table


def is_tie(record: Record) -> bool:
    """Whether the record compares replies and finds none better; these are not scored."""
    match record:
        case Comparison():
            return record.tie
        case Ranking():
            return len(set(record.ranks)) == 1
        case _:
            return False


def show(measured: dict[str, Any]) -> Table:
    """The same as a table."""
    rows = measured["subsets"]
    left_out = f"left out: {measured['ties']} ties, {measured['rejected_rows']} malformed rows"
    caption = "; ".join([*measured["notes"], left_out])
    table = Table(*rows[0], title="Reward-model accuracy", caption=caption)
    for row in rows:
        table.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()))
    return table
