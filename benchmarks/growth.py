"""How time and memory of a training step grow with what people make larger.

python -m benchmarks.growth          # measure, every point in a fresh process, then write the page
python -m benchmarks.growth --page   # only the page, from the committed results
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth_page import write_page
from benchmarks.machine import describe

RESULTS = Path(__file__).parent / "results" / "growth.json"
STEPS = 9
WARM = 3
BYTES = 4
"""Of a float32."""
STATE = 3
"""Gradient and two moments of every weight."""


@dataclass(frozen=True)
class Shape:
    """A model and the work of an optimizer step."""

    work: str
    """sft, ranking (DPO on ranked replies) or group (GRPO on replies that were sampled)."""
    prompt: int = 256
    replies: int = 1
    """To one prompt."""
    reply: int = 64
    vocabulary: int = 4096
    hidden: int = 256
    layers: int = 4


@dataclass(frozen=True)
class Axis:
    """What grows, and all else as it stays."""

    name: str
    shapes: tuple[Shape, ...]
    sizes: tuple[int, ...] = ()
    """What is made larger; empty for the model's parameters, which are counted."""


def _axis(name: str, base: Shape, sizes: Sequence[int], grown: str) -> Axis:
    shapes = tuple(replace(base, **{grown: size}) for size in sizes)
    return Axis(name, shapes, tuple(sizes))


LENGTHS = (128, 256, 512, 1024, 2048, 4096)
MODELS = ((64, 2), (128, 3), (256, 4), (384, 6), (512, 8), (768, 10))
AXES = (
    Axis("length", tuple(Shape("sft", n // 4, 1, n - n // 4) for n in LENGTHS), LENGTHS),
    _axis(
        "vocabulary",
        Shape("sft", 128, reply=384, hidden=128, layers=2),
        (2048, 4096, 8192, 16384, 32768, 65536),
        "vocabulary",
    ),
    _axis("replies", Shape("ranking"), (2, 4, 8, 16, 32), "replies"),
    _axis("group", Shape("group"), (2, 4, 8, 16, 32, 64), "replies"),
    Axis("parameters", tuple(Shape("sft", 128, 1, 384, hidden=h, layers=n) for h, n in MODELS)),
)


def measure() -> dict[str, Any]:
    """All axes, one fresh process after the other."""
    return {"machine": describe(), "axes": {axis.name: _measured(axis) for axis in AXES}}


def _measured(axis: Axis) -> dict[str, Any]:
    points: list[dict[str, Any]] = []
    for number, shape in enumerate(axis.shapes):
        point = _in_child(shape)
        size = axis.sizes[number] if axis.sizes else point["parameters"]
        points.append({"size": size, **asdict(shape), **point})
        print(f"{axis.name} {size}: {point['seconds']:.3f} s, {point['memory_mib']:.0f} MiB")
    return {"points": points, "exponents": exponents(points)}


def _in_child(shape: Shape) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.growth", "--point", json.dumps(asdict(shape))]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(out.splitlines()[-1])


def exponents(points: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Slopes over doubly logarithmic axes through the larger half of the points, at least three.

    Memory is that beyond gradients and moments, which are there whatever the data.
    """
    large = points[-max(len(points) // 2, 3) :]
    sizes = [point["size"] for point in large]
    beyond = [max(point["memory_mib"] - point["state_mib"], 1.0) for point in large]
    return {
        "seconds": slope(sizes, [point["seconds"] for point in large]),
        "memory": slope(sizes, beyond),
    }


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the least-squares line through (log x, log y): 1 for what is linear, 2 for squares."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def point(shape: Shape) -> dict[str, Any]:
    """Trains a few steps in this process, which should be a fresh one."""
    from fairlead.core.allocator import tune_allocator
    from fairlead.core.seeds import Seed
    from fairlead.training.config import TrainConfig
    from fairlead.training.loop import train

    tune_allocator()
    policy = _policy(shape)
    parameters = sum(p.numel() for p in policy.parameters())
    source = _Same(partial(_batch, shape, policy))
    config = TrainConfig(learning_rate=1e-6, checkpoint_every=STEPS + 1)
    with tempfile.TemporaryDirectory() as folder:
        train(
            policy,
            _objective(shape),
            source,
            config,
            seed=Seed(0),
            run_dir=Path(folder),
            require_eos=False,
            starts_at_reference=False,
        )
        lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
    seconds = [json.loads(line)["time/step_seconds"] for line in lines][WARM:]
    return {
        "seconds": float(np.median(seconds)),
        "fastest": min(seconds),
        "slowest": max(seconds),
        "memory_mib": source.peak - source.before,
        "state_mib": STATE * BYTES * parameters / 2**20,
        "parameters": parameters,
    }


def _policy(shape: Shape) -> Any:
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from fairlead.models.policy import Policy

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.hidden // 64,
        num_key_value_heads=shape.hidden // 64,
        intermediate_size=shape.hidden * 8 // 3,
        vocab_size=shape.vocabulary,
        max_position_embeddings=max(shape.prompt + shape.reply, 64),
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
    )
    words = Tokenizer(WordLevel({"</s>": 0}, unk_token="</s>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>")
    return Policy(LlamaForCausalLM(config), tokenizer)


def _objective(shape: Shape) -> Any:
    from fairlead.objectives.dpo import DPO
    from fairlead.objectives.grpo import GRPO
    from fairlead.objectives.sft import SFT

    return {"sft": SFT, "ranking": DPO, "group": GRPO}[shape.work]()


def _item(shape: Shape) -> Any:
    from fairlead.core.seeds import Seed
    from fairlead.data.chat import Item

    random = Seed(0).numpy()

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(random.integers(1, shape.vocabulary, count).tolist())

    replies = tuple((*tokens(shape.reply - 1), 0) for _ in range(shape.replies))
    return Item(tokens(shape.prompt), replies, tuple(range(shape.replies)))


def _batch(shape: Shape, policy: Any) -> Any:
    import torch

    from fairlead.data.batches import pack, preference_batch, sequence_batch
    from fairlead.objectives.base import Need
    from fairlead.objectives.batch import RolloutBatch

    item = _item(shape)
    if shape.work == "sft":
        return sequence_batch([item])
    if shape.work == "ranking":
        return preference_batch([item], reference=lambda one: [0.0] * len(one.responses))
    packed = pack([item])
    with torch.no_grad():
        logps = policy(packed, frozenset({Need.LOGPS})).logps
    advantages = torch.where(packed.row_sequence % 2 == 0, 1.0, -1.0)
    nothing = torch.zeros_like(logps)
    return RolloutBatch(
        packed=packed,
        old_logps=logps,
        advantages=advantages,
        returns=nothing,
        old_values=nothing,
        pretraining=nothing.bool(),
        reference=logps,
        budget=shape.reply,
    )


@dataclass
class _Same:
    """The same batch at every step; notes memory before the first and its peak up to the last."""

    make: Callable[[], Any]
    batch: Any = None
    before: float = 0.0
    """Resident memory with everything loaded and nothing computed, in MiB."""
    peak: float = 0.0
    steps: int = STEPS
    finished: bool = False

    def step(self, index: int, ranks: Any) -> Any:
        from fairlead.core.memory import forget_peak, peak_mib
        from fairlead.core.metrics import Mean
        from fairlead.training.source import Step

        if index == 0:
            forget_peak()
            self.before = peak_mib()
            self.batch = self.make()
        if index == STEPS - 1:
            self.peak = peak_mib()  # what is saved at the end does not count
        return Step([self.batch], {"policy/kl_k3": Mean(0.0, 1.0)} if index == 0 else {})

    def observe(self, metrics: dict[str, float]) -> None:
        """Nothing."""

    def between(self, index: int) -> bool:
        return True

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing."""


def main(arguments: Sequence[str]) -> None:
    if arguments[:1] == ["--point"]:
        print(json.dumps(point(Shape(**json.loads(arguments[1])))))
        return
    if arguments != ["--page"]:
        RESULTS.write_text(json.dumps(measure(), indent=1) + "\n")
    write_page(json.loads(RESULTS.read_text()))


if __name__ == "__main__":
    main(sys.argv[1:])
