"""Results as Markdown."""

from typing import Any


def render(result: dict[str, Any]) -> str:
    """The page of a DPO measurement."""
    machine, rows = result["machine"], result["rows"]
    versions = ", ".join(f"{n} {v}" for n, v in machine["peer_versions"].items())
    return "\n".join(
        [
            "# One epoch of DPO: Fairlead against TRL",
            "",
            f"{machine['date']}, {machine['processor']}, {machine['cpus']} CPUs, "
            f"{machine['memory_gib']} GiB, float32. Peer: {versions}. "
            f"Median of {result['rounds']} interleaved rounds after a warm-up; "
            f"lowest to highest in brackets. "
            "One side computes at a time.",
            "",
            "| seconds per epoch | " + " | ".join(f"model {row['model']}" for row in rows) + " |",
            "|---|" + "---|" * len(rows),
            *_times(rows),
            "",
            "| Fairlead against | " + " | ".join(f"model {row['model']}" for row in rows) + " |",
            "|---|" + "---|" * len(rows),
            *_ratios(rows),
            "",
            *_notes(rows),
            "",
        ]
    )


def _line(title: str, cells: list[str]) -> str:
    return f"| {title} | " + " | ".join(cells) + " |"


def _times(rows: list[dict[str, Any]]) -> list[str]:
    shown = {
        "Fairlead": "ours",
        "TRL as shipped (reference model in the loop)": "peer",
        "TRL as shipped, malloc tuned": "peer_tuned",
        "Fairlead, second run (in turns with the two below)": "ours_beside_precomputed",
        "TRL, `precompute_ref_log_probs`": "peer_precomputed",
        "TRL, `precompute_ref_log_probs`, malloc tuned": "peer_precomputed_tuned",
    }
    lines = [
        _line(title, [_spread(row[f"{key}_s"], row["epochs_s"][key]) for row in rows])
        for title, key in shown.items()
    ]
    once = {
        "once: Fairlead scores the reference": "ours_reference_once_s",
        "once: TRL precomputes the reference": "peer_reference_once_s",
    }
    lines += [_line(title, [f"{row[key]:.1f}" for row in rows]) for title, key in once.items()]
    ours = [f"{row['tokens_per_s_ours']:.0f}" for row in rows]
    peer = [f"{row['tokens_per_s_peer']:.0f}" for row in rows]
    return [
        *lines,
        _line("Fairlead, tokens per second (prompts counted twice)", ours),
        _line("TRL as shipped, tokens per second", peer),
    ]


def _spread(typical: float, epochs: list[float]) -> str:
    return f"{typical:.1f} [{min(epochs):.1f} to {max(epochs):.1f}]"


def _ratios(rows: list[dict[str, Any]]) -> list[str]:
    shown = {
        "**TRL as shipped**": "speedup",
        "TRL as shipped, our one reference pass counted in": "speedup_with_reference",
        "TRL as shipped, malloc tuned": "speedup_tuned",
        "TRL, `precompute_ref_log_probs`": "speedup_precomputed",
        "TRL, `precompute_ref_log_probs`, malloc tuned": "speedup_precomputed_tuned",
    }
    lines = [
        _line(title, [f"{row[key]:.2f}x faster" for row in rows]) for title, key in shown.items()
    ]
    memory = [
        f"{row['memory_ours_mib']:.0f} / {row['memory_peer_mib']:.0f} MiB = "
        f"{row['memory_ratio']:.2f}x"
        for row in rows
    ]
    others = [f"{row['others_cpus']:.2f} of the CPUs" for row in rows]
    left_out = [str(row["epochs_left_out"]) for row in rows]
    lines.append(_line("other work on the machine meanwhile took at most", others))
    lines.append(_line("epochs measured again for more other work than that", left_out))
    return [*lines, _line("**peak memory above that of the loaded model**", memory)]


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    loss = max(row["equality"]["loss_gap"] for row in rows)
    norm = max(row["equality"]["gradient_norm_gap"] for row in rows)
    return [
        "Both sides train the same weights on the same tokens in the same batches with AdamW "
        "(1e-6, clipped at 1.0). Over all steps of all epochs their losses differ by at most "
        f"{loss:.1g} and their gradient norms by at most {norm:.1g} (relative).",
        "",
        "Settings that are not TRL's defaults: float32 instead of bfloat16 and no gradient "
        "checkpointing (as on our side), a log line per step, no checkpoints. "
        "Fairlead sets glibc's allocator by itself (`FAIRLEAD_TUNE_ALLOCATOR=0` turns it off); "
        '"malloc tuned" gives TRL the same three settings.',
    ]
