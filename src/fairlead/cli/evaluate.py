"""What `fairlead evaluate` does."""

from typing import Any

from rich.table import Table

from fairlead.data.convert import preferences
from fairlead.data.readers import read
from fairlead.models.loading import load_reward_model
from fairlead.pipeline.reward_accuracy import measure
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
