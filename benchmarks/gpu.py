"""Training and sampling on one CUDA device, against TRL where it is installed.

python -m benchmarks.gpu [--size 0.5B|1.5B] [--peer PYTHON] [--json FILE]

Each side of each work is a fresh process on the same random weights, tokens and batches, in
bfloat16. `--peer` names a Python with TRL; Liger's kernels are used where it has them, and DPO's
reference is scored before the clock starts, as on our side. Tokens per second count every sequence
whole and unpadded, and so does the share of the device's rate (MFU), whose whole is a matrix
product measured here. At first the losses of model S in float32 on the CPU and on the device are
compared.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.work import BETA, LEARNING_RATE, SIZES, Pair, Size, make_model, make_pairs, text

MODELS = {
    "0.5B": Size(1024, 24, 16, 4096, 32768, pairs=128, batch=32, prompts=8, grpo_steps=1),
    "1.5B": Size(2048, 24, 16, 5632, 32768, pairs=128, batch=32, prompts=8, grpo_steps=1),
    "S": SIZES["S"],
    "XS": SIZES["XS"],
}
WORKS = ("sft", "dpo", "grpo", "decode")
GROUP, NEW_TOKENS, ROWS = 8, 128, 64
WARM, STEPS = 2, 6
CLOSE = 1e-4
"""Largest relative difference of float32 losses between CPU and device."""
GEMM = 8192


def main(arguments: Sequence[str]) -> None:
    if arguments[:1] == ["--side"]:
        side, work, name, dtype, folder = arguments[1:]
        run: Callable[..., dict[str, Any]] = fairlead_side if side == "fairlead" else trl_side
        print(json.dumps(run(work, MODELS[name], dtype, Path(folder))))
        return
    parser = argparse.ArgumentParser(prog="benchmarks.gpu")
    parser.add_argument("--size", choices=("0.5B", "1.5B"), default="0.5B")
    parser.add_argument("--peer", help="a Python with TRL")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    result = measure(asked.size, asked.peer)
    print(table(result))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")


def measure(name: str, peer: str | None) -> dict[str, Any]:
    """Parity first, then every work on every side."""
    require_cuda()
    from benchmarks.machine import describe

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        parity = _parity(Path(folder) / "S")
        make_model(MODELS[name], model)
        peak = matmul_rate()
        sides = {"fairlead": sys.executable} | ({"trl": peer} if peer else {})
        rows: list[dict[str, Any]] = []
        for work in WORKS:
            for side, python in sides.items():
                found = _in_child(python, side, work, name, "bfloat16", model)
                share = found["operations"] / found["seconds"] / peak
                rows.append({"work": work, "side": side, "mfu": share, **found})
                print(f"{work}, {side}: {found['tokens'] / found['seconds']:.0f} tokens/s")
    return {"machine": describe(), "model": name, "peak": peak, "parity": parity, "rows": rows}


def require_cuda() -> None:
    """Ends with a plain word where there is no device."""
    import torch

    if not torch.cuda.is_available():
        built = "a CUDA build" if torch.version.cuda else "a CPU build"
        sys.exit(
            f"benchmarks.gpu needs a CUDA device; torch {torch.__version__} ({built}) finds none. "
            "On a CPU run `make bench`."
        )


def matmul_rate() -> float:
    """Operations per second of a large product in bfloat16: what counts as the whole."""
    import torch

    a = torch.randn(GEMM, GEMM, device="cuda", dtype=torch.bfloat16)
    seconds: list[float] = []
    for _ in range(12):
        torch.cuda.synchronize()
        started = time.perf_counter()
        a @ a
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * GEMM**3 / min(seconds)


def _parity(folder: Path) -> dict[str, Any]:
    """Losses of model S in float32, CPU against device.

    Raises:
        SystemExit: they differ.
    """
    make_model(MODELS["S"], folder)
    found: dict[str, Any] = {}
    for work in ("sft", "dpo"):
        device, cpu = (
            _in_child(sys.executable, "fairlead", work, "S", "float32", folder, hidden=hidden)
            for hidden in (False, True)
        )
        gap = float(np.max(np.abs(np.subtract(device["losses"], cpu["losses"])) / cpu["losses"]))
        found[work] = gap
        if not gap <= CLOSE:
            sys.exit(f"{work}: losses on CPU and device differ by {gap:.2g} (relative)")
    return found


def _in_child(
    python: str, side: str, work: str, name: str, dtype: str, model: Path, *, hidden: bool = False
) -> dict[str, Any]:
    command = [python, "-m", "benchmarks.gpu", "--side", side, work, name, dtype, str(model)]
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if hidden else {})
    out = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(out.stdout.splitlines()[-1])


def operations(size: Size, lengths: Sequence[int], labels: int, *, trained: bool) -> float:
    """Of whole sequences: forward alone, or with the backward pass."""
    body = size.body * sum(lengths) + size.layers * size.hidden * sum(n * n for n in lengths)
    return (6.0 if trained else 2.0) * (body + size.head * labels)


def _facts(
    size: Size, sequences: Sequence[tuple[int, int]], steps: int, *, trained: bool = True
) -> dict[str, Any]:
    """Tokens and operations of a step over (prompt, reply) lengths that make up `steps` of them."""
    lengths = [prompt + reply for prompt, reply in sequences]
    total = operations(size, lengths, sum(reply for _, reply in sequences), trained=trained)
    return {"tokens": sum(lengths) / steps, "operations": total / steps}


def compared(work: str, pairs: Sequence[Pair]) -> list[tuple[int, int]]:
    """(prompt, reply) lengths that an epoch of SFT or DPO computes."""
    replies = [(p, p.chosen) for p in pairs]
    replies += [(p, p.rejected) for p in pairs] if work == "dpo" else []
    return [(len(p.prompt), len(reply)) for p, reply in replies]


def _memory() -> float:
    import torch

    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0


def fairlead_side(work: str, size: Size, dtype: str, model: Path) -> dict[str, Any]:
    """Fairlead's loop and sampler as they are."""
    import torch

    from fairlead.core.allocator import tune_allocator
    from fairlead.models.loading import load_policy

    tune_allocator()
    policy = load_policy(model, dtype=getattr(torch, dtype))
    if work == "decode":
        return _decoded(size, _engine(policy))
    with tempfile.TemporaryDirectory() as folder:
        lines = _trained(work, size, policy, model, Path(folder))
    timed = [line["time/step_seconds"] for line in lines][WARM:]
    if work == "grpo":
        reply = float(np.mean([line["rollout/length"] for line in lines[WARM:]]))
        facts = grpo_facts(size, round(reply))
    else:
        facts = _facts(size, compared(work, make_pairs(size)), size.pairs // size.batch)
    losses = [line["loss/total"] for line in lines]
    return {"seconds": float(np.median(timed)), "peak_mib": _memory(), "losses": losses, **facts}


def grpo_facts(size: Size, reply: int) -> dict[str, Any]:
    """A step of GRPO samples every reply and trains on it."""
    prompts = [len(pair.prompt) for pair in make_pairs(size)[: size.prompts]]
    sequences = [(prompt, reply) for prompt in prompts for _ in range(GROUP)]
    trained, sampled = (_facts(size, sequences, 1, trained=t) for t in (True, False))
    return {**trained, "operations": trained["operations"] + sampled["operations"]}


def _trained(work: str, size: Size, policy: Any, model: Path, folder: Path) -> list[Any]:
    from fairlead.core.seeds import Seed
    from fairlead.objectives.dpo import DPO
    from fairlead.objectives.grpo import GRPO
    from fairlead.objectives.sft import SFT
    from fairlead.training.config import TrainConfig
    from fairlead.training.loop import train

    config = TrainConfig(
        batch_size=size.batch,
        epochs=WARM + STEPS,
        max_steps=WARM + STEPS,
        learning_rate=LEARNING_RATE,
        schedule="constant",
        warmup=0.0,
        microbatch_tokens=16384,
        checkpoint_every=10_000,
    )
    source = {"sft": _sft, "dpo": _dpo, "grpo": _grpo}[work](size, policy, model, config, folder)
    objective = {"sft": SFT(), "dpo": DPO(beta=BETA), "grpo": GRPO()}[work]
    train(policy, objective, source, config, seed=Seed(0), run_dir=folder, require_eos=False)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _sft(size: Size, policy: Any, model: Path, config: Any, folder: Path) -> Any:
    from fairlead.core.seeds import Seed
    from fairlead.data.batches import sequence_batch
    from fairlead.data.chat import Item
    from fairlead.training.source import DatasetSource

    items = [
        Item(tuple(p.prompt), (tuple(p.chosen),), (0,), n) for n, p in enumerate(make_pairs(size))
    ]
    return DatasetSource.of(items, sequence_batch, config, Seed(0))


def _dpo(size: Size, policy: Any, model: Path, config: Any, folder: Path) -> Any:
    from fairlead.core.seeds import Seed
    from fairlead.data.batches import preference_batch
    from fairlead.data.chat import Item
    from fairlead.models.reference import reference_logps
    from fairlead.training.source import DatasetSource

    items = [
        Item(tuple(p.prompt), (tuple(p.chosen), tuple(p.rejected)), (0, 1), n)
        for n, p in enumerate(make_pairs(size))
    ]
    tokens = config.microbatch_tokens
    known = reference_logps(policy, items, tokens=tokens, cache=folder / "reference")

    def collate(group: Any) -> Any:
        return preference_batch(group, reference=lambda item: known[item.record])

    return DatasetSource.of(items, collate, config, Seed(0))


def _grpo(size: Size, policy: Any, model: Path, config: Any, folder: Path) -> Any:
    from fairlead.core.seeds import Seed
    from fairlead.objectives.grpo import GRPO
    from fairlead.records import Prompt
    from fairlead.rewards.base import FunctionReward
    from fairlead.training.collecting import Collector
    from fairlead.training.rollout_config import RolloutConfig
    from fairlead.training.rollouts import RolloutSource

    asked = [tuple(pair.prompt) for pair in make_pairs(size)[: size.prompts]]
    rollouts = GRPO.rollouts | {
        "prompts": len(asked),
        "samples": GROUP,
        "iterations": WARM + STEPS,
        "sampling": {"max_new_tokens": NEW_TOKENS},
        "sampler_gap": 0.1,  # of bfloat16
    }
    collector = Collector(
        policy,
        reference=policy.frozen_copy(),
        engine=_engine(policy),
        reward=FunctionReward(lambda _, said: float(said.count("1"))),
        prompts=list(enumerate(asked)),
        records=[Prompt.of(text(ids)) for ids in asked],
        config=RolloutConfig.model_validate(rollouts),
        microbatch_tokens=config.microbatch_tokens,
        seed=Seed(0),
    )
    return RolloutSource(collector, needs=GRPO().needs)


def _engine(policy: Any) -> Any:
    from fairlead.generation.local import LocalEngine

    return LocalEngine(policy)


def _decoded(size: Size, engine: Any) -> dict[str, Any]:
    from fairlead.core.seeds import Seed
    from fairlead.generation.sampling import Sampling

    asked = [tuple(pair.prompt) for pair in make_pairs(size)[:ROWS]]
    sampling = Sampling(max_new_tokens=NEW_TOKENS)
    timed: list[tuple[float, list[int]]] = []
    for number in range(WARM + STEPS):
        started = time.perf_counter()
        replies = engine.sample(asked, sampling, n=1, seed=Seed(number))
        timed.append((time.perf_counter() - started, [len(reply.tokens) for reply in replies]))
    return decode_facts(size, [len(ids) for ids in asked], timed[WARM:])


def decode_facts(
    size: Size, prompts: Sequence[int], timed: Sequence[tuple[float, list[int]]]
) -> dict[str, Any]:
    """Tokens are those that were sampled."""
    sequences = [pair for _, own in timed for pair in zip(prompts, own, strict=True)]
    facts = _facts(size, sequences, len(timed), trained=False)
    sampled = sum(reply for _, reply in sequences) / len(timed)
    seconds = float(np.median([seconds for seconds, _ in timed]))
    return {**facts, "tokens": sampled, "seconds": seconds, "peak_mib": _memory()}


def trl_side(work: str, size: Size, dtype: str, model: Path) -> dict[str, Any]:
    """TRL's trainers, with the reference cached and Liger's kernels where they are there."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

    tokenizer = AutoTokenizer.from_pretrained(model)
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, dtype))
    if work == "decode":
        return _generated(size, policy.cuda().eval())

    seconds: list[float] = []
    logged: list[dict[str, float]] = []

    class Timing(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            torch.cuda.synchronize()
            seconds.append(-time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            torch.cuda.synchronize()
            seconds[-1] += time.perf_counter()

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            logged.append(logs)

    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(work, size, policy, tokenizer, folder)
        trainer.add_callback(Timing())
        torch.cuda.synchronize()
        started = time.perf_counter()
        trainer.train()
        whole = time.perf_counter() - started
    if work == "grpo":
        # Sampling happens between the steps' borders, so the whole run is divided by its steps.
        seconds = [whole / (WARM + STEPS)] * (WARM + STEPS)
        lengths = [one["completions/mean_length"] for one in logged if "loss" in one]
        facts = grpo_facts(size, round(float(np.mean(lengths))))
    else:
        facts = _facts(size, compared(work, make_pairs(size)), size.pairs // size.batch)
    return {"seconds": float(np.median(seconds[WARM:])), "peak_mib": _memory(), **facts}


def _trainer(work: str, size: Size, policy: Any, tokenizer: Any, folder: str) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    pairs = make_pairs(size)
    common: dict[str, Any] = {
        "output_dir": folder,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "max_steps": WARM + STEPS,
        "bf16": True,
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_liger_kernel": importlib.util.find_spec("liger_kernel") is not None,
    }
    if work == "grpo":
        rows = Dataset.from_list([{"prompt": text(p.prompt)} for p in pairs[: size.prompts]])
        args = GRPOConfig(
            **common,
            per_device_train_batch_size=size.prompts * GROUP,
            num_generations=GROUP,
            max_completion_length=NEW_TOKENS,
        )
        return GRPOTrainer(
            policy,
            reward_funcs=lambda completions, **_: [float(said.count("1")) for said in completions],
            args=args,
            train_dataset=rows,
            processing_class=tokenizer,
        )
    common["per_device_train_batch_size"] = size.batch
    if work == "sft":
        rows = Dataset.from_list(
            [{"prompt": text(p.prompt), "completion": " " + text(p.chosen)} for p in pairs]
        )
        return SFTTrainer(
            policy, args=SFTConfig(**common), train_dataset=rows, processing_class=tokenizer
        )
    rows = Dataset.from_list(
        [
            {
                "prompt": text(p.prompt),
                "chosen": " " + text(p.chosen),
                "rejected": " " + text(p.rejected),
            }
            for p in pairs
        ]
    )
    args = DPOConfig(**common, beta=BETA, precompute_ref_log_probs=True)
    return DPOTrainer(policy, args=args, train_dataset=rows, processing_class=tokenizer)


def _generated(size: Size, policy: Any) -> dict[str, Any]:
    """What TRL samples with where no server is set up: `generate` of transformers."""
    import torch

    prompts = [pair.prompt for pair in make_pairs(size)[:ROWS]]
    longest = max(map(len, prompts))
    ids = torch.tensor([[1] * (longest - len(p)) + p for p in prompts], device="cuda")
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device="cuda")
    timed: list[tuple[float, list[int]]] = []
    for number in range(WARM + STEPS):
        torch.manual_seed(number)
        torch.cuda.synchronize()
        started = time.perf_counter()
        with torch.no_grad():
            whole = policy.generate(
                ids, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=NEW_TOKENS
            )
        torch.cuda.synchronize()
        new = whole[:, longest:].tolist()
        lengths = [row.index(0) + 1 if 0 in row else len(row) for row in new]
        timed.append((time.perf_counter() - started, lengths))
    return decode_facts(size, [len(p) for p in prompts], timed[WARM:])


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        f"Model {result['model']}, bfloat16; a product of matrices reaches "
        f"{result['peak'] / 1e12:.0f} TFLOP/s. Losses of model S in float32 differ from the CPU's "
        f"by at most {max(result['parity'].values()):.1g} (relative).",
        "",
        "| work | side | seconds per step | tokens per second | MFU | peak MiB |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        rate = row["tokens"] / row["seconds"]
        lines.append(
            f"| {row['work']} | {row['side']} | {row['seconds']:.3f} | {rate:.0f} "
            f"| {row['mfu']:.1%} | {row['peak_mib']:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
