"""Results of the suite as Markdown."""

from collections.abc import Sequence
from typing import Any

Rows = Sequence[dict[str, Any]]

TITLES = {
    "sft": "SFT (TRL packs)",
    "reward": "reward model",
    "dpo": "DPO, reference scored once",
    "dpo_live_reference": "DPO, TRL as shipped (reference in the loop)",
    "grpo": "GRPO, whole step",
    "grpo_update": "GRPO, update alone",
    "rollout": "GRPO, sampling",
    "decode_b1": "decoding, 1 row",
    "decode_b8": "decoding, 8 rows",
    "decode_b32": "decoding, 32 rows",
    "ppo": "PPO on one trunk, not three models (no TRL: both Fairlead)",
}


def render(result: dict[str, Any]) -> str:
    """The whole page."""
    rows = result["rows"]
    parts = ["# Fairlead beside TRL", summary(result)]
    if rows:
        parts += ["## Speed and memory in detail", _table(DETAILS, rows), notes(rows)]
    return "\n\n".join(parts) + "\n"


def summary(result: dict[str, Any]) -> str:
    """What was measured where, and the ratios."""
    rows = result["rows"]
    return f"{setting(result)}\n\n{_table(SUMMARY, rows)}" if rows else setting(result)


def setting(result: dict[str, Any]) -> str:
    """The machine, and how it was measured."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["peer_versions"].items())
    return (
        f"{machine['date']}, {machine['processor']}, {machine['cpus']} CPUs, "
        f"{machine['memory_gib']} GiB, float32, {machine['threads']} threads on every side. "
        f"Peer: {versions}. Medians of interleaved rounds after a warm-up, lowest to highest in "
        "brackets; one side computes at a time."
    )


def notes(rows: Rows) -> str:
    """What was equal, and what is not as TRL ships it."""
    largest: dict[str, float] = {}
    for row in rows:
        for name, gap in row["equality"].items():
            largest[name] = max(largest.get(name, 0.0), gap)
    words = {
        "loss_gap": "losses differ by at most {:.1g}",
        "gradient_norm_gap": "gradient norms by at most {:.1g} (relative)",
        "logps_gap": "log-probabilities in decoding by at most {:.1g}",
    }
    equal = ", ".join(text.format(largest[n]) for n, text in words.items() if n in largest)
    busy, left_out = max(row["others_cpus"] for row in rows), sum(row["left_out"] for row in rows)
    return (
        f"All sides start from the same weights and work on the same tokens in the same batches "
        f"(GRPO: its first step, on given replies): {equal}. What was sampled differs, its "
        "distribution does not.\n\n"
        "GRPO's update alone is forward, backward and AdamW; scoring replies beforehand, for which "
        "Fairlead also asks the reference, counts in the whole step.\n\n"
        "A floor is the time that the operations take at the rate of a matrix product measured in "
        "the same run, or the bytes at the rate of reading; nothing is shared in it, so sharing "
        "prompts can pass it. Operations per second count those of the floor.\n\n"
        "Settings that are not TRL's defaults: float32 instead of bfloat16 and no gradient "
        "checkpointing (as on our side), a log line per step, no checkpoints; packing for SFT; "
        "GRPO's own loss. Fairlead sets glibc's allocator by itself "
        '(`FAIRLEAD_TUNE_ALLOCATOR=0` turns it off); "tuned" gives TRL the same three settings.\n\n'
        f"Other work on the machine took at most {busy:.2f} CPUs during a turn that counts; "
        f"{left_out} turns did not count."
    )


def _table(columns: dict[str, Any], rows: Rows) -> str:
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    lines += [f"| {' | '.join(cell(row) for cell in columns.values())} |" for row in rows]
    return "\n".join(lines)


def _spread(label: str) -> Any:
    def cell(row: dict[str, Any]) -> str:
        if label not in row["rounds_s"]:
            return "-"
        each = row["rounds_s"][label]
        return f"{short(row[f'{label}_s'])} [{short(min(each))} to {short(max(each))}]"

    return cell


def _number(name: str, pattern: str = "{}") -> Any:
    def cell(row: dict[str, Any]) -> str:
        return "-" if row.get(name) is None else pattern.format(short(row[name]))

    return cell


def short(value: float) -> str:
    """Three digits, as many as the spread is worth."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def _model(row: dict[str, Any]) -> str:
    return row["model"]


def _title(row: dict[str, Any]) -> str:
    return TITLES[row["name"]]


SUMMARY = {
    "work": _title,
    "model": _model,
    "seconds per": lambda row: row["unit"],
    "Fairlead": _spread("ours"),
    "TRL": _spread("peer"),
    "TRL tuned": _spread("peer_tuned"),
    "faster than TRL": lambda row: f"**{row['speedup']:.2f}x**",
    "than TRL tuned": _number("speedup_tuned", "{}x"),
    "times the floor": _number("floor_ratio"),
    "memory": _number("memory_ratio", "{}x"),
}
DETAILS = {
    "work": _title,
    "model": _model,
    "tokens/s": _number("ours_tokens_per_s"),
    "TRL": _number("peer_tokens_per_s"),
    "TRL tuned": _number("peer_tuned_tokens_per_s"),
    "GFLOP/s": _number("ours_gflops"),
    "TRL's": _number("peer_gflops"),
    "MiB above the model": _number("ours_memory_mib"),
    "TRL's MiB": _number("peer_memory_mib"),
    "page faults per step": _number("ours_faults"),
    "TRL's faults": _number("peer_faults"),
    "reference once, s": _number("ours_once_seconds"),
    "TRL's reference, s": _number("peer_once_seconds"),
    "MiB of state": _number("ours_state_mib"),
    "of three models": _number("peer_state_mib"),
}
