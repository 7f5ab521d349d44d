"""Sampling: Fairlead's engine against `generate` of transformers, in one process.

python -m benchmarks.decode [--models S,M] [--batches 1,8,32] [--rounds 3] [--json FILE]
python -m benchmarks.decode --shares [--models S,M] [--batches 1,8,32]

Equal models, prompts and limits, and the allocator tuned for both. Rounds of the two sides
alternate; the first of each is warm-up and dropped. With equal lengths no reply ends early. With
skewed ones many ids end a reply, prompts are sampled eight times each, and tokens count up to the
end; `generate` is given as many rows at once as the engine has.

With `--shares` nothing is compared: a round of Fairlead's is traced, and the table says which share
of its time went into products, into attention, into all other operations, and into none (Python).
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM, GenerationConfig

from benchmarks.machine import describe
from benchmarks.work import DECODED_PROMPT, GROUP, NEW_TOKENS, PAD, SIZES, ends, make_model
from fairlead.core.allocator import tune_allocator
from fairlead.core.files import write_json
from fairlead.core.seeds import Seed
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy

SKEWED_ROWS = 32
"""Rows at once where lengths are skewed."""

SKEWED_PROMPTS = (4, 16)
"""Prompts sampled `GROUP` times each: one batch full, and four."""


@dataclass(frozen=True)
class Work:
    """What a round samples."""

    prompts: int
    samples: int
    prompt_tokens: int = DECODED_PROMPT
    new_tokens: int = NEW_TOKENS
    rows: int = SKEWED_ROWS
    """Rows at once."""
    skewed: bool = False

    def tokens(self, vocabulary: int) -> list[list[int]]:
        """Random prompts in which nothing special occurs."""
        rng = np.random.default_rng(self.prompts)
        first = vocabulary // 2
        return rng.integers(first, vocabulary, (self.prompts, self.prompt_tokens)).tolist()


Round = Callable[[int], int]
"""Samples with the seed given; how many tokens there were."""


def ours(
    model_folder: Path, batch: int, prompt_tokens: int, new_tokens: int, rounds: int
) -> list[float]:
    """Seconds that Fairlead takes for `batch` prompts in each of some rounds after a warm-up."""
    return _seconds(our_round(model_folder, _plain(batch, prompt_tokens, new_tokens)), rounds)


def theirs(
    model_folder: Path, batch: int, prompt_tokens: int, new_tokens: int, rounds: int
) -> list[float]:
    """Seconds that transformers takes for the same."""
    return _seconds(their_round(model_folder, _plain(batch, prompt_tokens, new_tokens)), rounds)


def _plain(batch: int, prompt_tokens: int = DECODED_PROMPT, new_tokens: int = NEW_TOKENS) -> Work:
    return Work(batch, 1, prompt_tokens, new_tokens, rows=batch)


def _seconds(sample: Round, rounds: int) -> list[float]:
    return [_timed(sample, seed)[0] for seed in range(rounds + 1)][1:]


def _timed(sample: Round, seed: int) -> tuple[float, int]:
    started = time.perf_counter()
    tokens = sample(seed)
    return time.perf_counter() - started, tokens


def our_round(model_folder: Path, work: Work) -> Round:
    """A round of Fairlead's engine."""
    policy = load_policy(model_folder)
    prompts = [tuple(ids) for ids in work.tokens(policy.model.config.vocab_size)]
    engine = LocalEngine(policy, max_rows=work.rows)
    if not work.skewed:
        engine.eos = frozenset()
    sampling = Sampling(max_new_tokens=work.new_tokens)

    def sample(seed: int) -> int:
        drawn = engine.sample(prompts, sampling, n=work.samples, seed=Seed(seed))
        return sum(len(rollout.tokens) for rollout in drawn)

    return sample


def their_round(model_folder: Path, work: Work) -> Round:
    """A round of `generate`, so many rows after so many."""
    model: Any = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    prompts = torch.tensor(work.tokens(model.config.vocab_size))
    chunks = prompts.repeat_interleave(work.samples, 0).split(work.rows)
    eos = model.generation_config.eos_token_id if work.skewed else None
    config = GenerationConfig(
        do_sample=True, top_k=0, max_new_tokens=work.new_tokens, eos_token_id=eos, pad_token_id=PAD
    )

    def sample(seed: int) -> int:
        torch.manual_seed(seed)
        return sum(_replied(model, rows, config) for rows in chunks)

    return sample


@torch.no_grad()
def _replied(model: Any, rows: torch.Tensor, config: GenerationConfig) -> int:
    """Tokens of the replies to these rows, each up to its end."""
    mask = torch.ones_like(rows)
    new = model.generate(rows, attention_mask=mask, generation_config=config)[:, rows.shape[1] :]
    eos = config.eos_token_id
    if eos is None:
        return new.numel()
    after = torch.isin(new, torch.tensor(eos)).cumsum(1)
    return int((after.roll(1, 1).index_fill(1, torch.tensor([0]), 0) == 0).sum())


def measure(name: str, work: Work, rounds: int) -> dict[str, Any]:
    """One row: tokens per second of both sides and their ratio, round by round."""
    size = SIZES[name]
    with tempfile.TemporaryDirectory() as folder:
        make_model(size, Path(folder), skewed=work.skewed)
        sides = {
            "fairlead": our_round(Path(folder), work),
            "transformers": their_round(Path(folder), work),
        }
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for seed in range(rounds + 1):
            for side, sample in sides.items():
                seconds, tokens = _timed(sample, seed)
                rates[side].append(tokens / seconds)
    kept = {side: own[1:] for side, own in rates.items()}
    ratios = [a / b for a, b in zip(kept["fairlead"], kept["transformers"], strict=True)]
    return {
        **_facts(name, work),
        "tokens_per_second": kept,
        "ratios": ratios,
        "ratio": median(ratios),
    }


def _facts(name: str, work: Work) -> dict[str, Any]:
    lengths = f"skewed, {len(ends(SIZES[name]))} ids end" if work.skewed else "equal"
    replies = work.prompts * work.samples
    return {"model": name, "lengths": lengths, "replies": replies, "rows": work.rows}


KINDS = {
    "products": ("mkldnn::_linear_pointwise", "aten::mm", "aten::addmm", "mkldnn::_reorder"),
    "attention": ("aten::_scaled_dot_product", "aten::_flash_attention"),
}


def shares(name: str, work: Work) -> dict[str, float]:
    """Which share of a round of Fairlead's went where; "operations" are all others."""
    with tempfile.TemporaryDirectory() as folder:
        make_model(SIZES[name], Path(folder), skewed=work.skewed)
        sample = our_round(Path(folder), work)
        sample(0)
        started = time.perf_counter()
        sample(1)
        seconds = time.perf_counter() - started
        with profile(activities=[ProfilerActivity.CPU]) as traced:
            sample(1)
    spent = dict.fromkeys([*KINDS, "operations"], 0.0)
    for operation in traced.key_averages():
        kinds = [kind for kind, names in KINDS.items() if operation.key.startswith(names)]
        spent[(kinds or ["operations"])[0]] += operation.self_cpu_time_total / 1e6
    found = {kind: own / seconds for kind, own in spent.items()}
    return {"seconds": seconds, **found, "python": 1 - sum(found.values())}


def render_shares(rows: Sequence[dict[str, Any]]) -> Table:
    """Shares as a table. Tracing slows small operations, so Python's share is a lower bound."""
    table = Table("model", "lengths", "rows", "s", "products", "attention", "operations", "python")
    for row in rows:
        parts = [f"{row[kind]:.0%}" for kind in ("products", "attention", "operations", "python")]
        table.add_row(
            row["model"], row["lengths"], str(row["rows"]), f"{row['seconds']:.2f}", *parts
        )
    return table


def render(rows: Sequence[dict[str, Any]]) -> Table:
    """The rows as a table: medians, and the range of the ratio."""
    table = Table("model", "lengths", "replies", "rows", "Fairlead tok/s", "transformers", "ratio")
    for row in rows:
        rates = [f"{median(own):.0f}" for own in row["tokens_per_second"].values()]
        span = f"{row['ratio']:.2f} ({min(row['ratios']):.2f}-{max(row['ratios']):.2f})"
        table.add_row(
            row["model"], row["lengths"], str(row["replies"]), str(row["rows"]), *rates, span
        )
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, shows the table and writes JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])  # pyright: ignore
    parser.add_argument("--models", default="S,M")
    parser.add_argument("--batches", default="1,8,32", help="of equal lengths")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--shares", action="store_true", help="say where our time goes instead")
    asked = parser.parse_args(arguments)
    tune_allocator()
    works = [_plain(int(batch)) for batch in asked.batches.split(",") if batch]
    works += [Work(prompts, GROUP, skewed=True) for prompts in SKEWED_PROMPTS]
    rows: list[dict[str, Any]] = []
    if asked.shares:
        names = asked.models.split(",")
        rows = [_facts(name, work) | shares(name, work) for name in names for work in works]
        Console().print(render_shares(rows))
        return
    for name in asked.models.split(","):
        for work in works:
            rows.append(measure(name, work, asked.rounds))
            Console().print(render(rows[-1:]))
    Console().print(render(rows))
    if asked.json:
        threads = torch.get_num_threads()
        write_json(
            asked.json,
            {"benchmark": "decode", "machine": describe(), "threads": threads, "rows": rows},
        )


if __name__ == "__main__":
    main()
