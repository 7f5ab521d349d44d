"""Trains a small model for some hundred steps and prints, as JSON, what each cost the kernel.

python warm_steps.py STEPS FOLDER
"""

import json
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fairlead.core.allocator import tune_allocator
from fairlead.core.seeds import Seed
from fairlead.data.batches import preference_batch
from fairlead.data.chat import Item
from fairlead.models.policy import Policy
from fairlead.objectives.dpo import DPO
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource, Ranks, Step
from small_world import tokenizer

LENGTHS = ((24, 40, 17), (60, 9, 33), (11, 71, 52), (35, 28, 28))
"""Prompt and two replies of each pair; steps take them in ever new orders."""


@dataclass(frozen=True, kw_only=True)
class Counting(DatasetSource):
    """Notes page faults and memory as each step begins."""

    faults: list[int] = field(default_factory=list[int])
    resident: list[int] = field(default_factory=list[int])

    def step(self, index: int, ranks: Ranks) -> Step:
        self.faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.resident.append(pages * resource.getpagesize())
        return super().step(index, ranks)


def model() -> LlamaForCausalLM:
    """Large enough that its tensors are whole pages."""
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer()),
            hidden_size=64,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=256,
        )
    )


def pairs() -> list[Item]:
    random = Seed(0).numpy()

    def tokens(count: int) -> tuple[int, ...]:
        return tuple(random.integers(3, len(tokenizer()), count).tolist())

    eos = int(tokenizer().eos_token_id)  # pyright: ignore
    return [
        Item(tokens(p), ((*tokens(a), eos), (*tokens(b), eos)), (0, 1), n)
        for n, (p, a, b) in enumerate(LENGTHS * 4)
    ]


def main(steps: int, folder: Path) -> None:
    tune_allocator()
    torch.set_num_threads(1)
    source = Counting(pairs(), preference_batch, 6, 1000, 512, Seed(0), steps)
    config = TrainConfig(learning_rate=1e-5, checkpoint_every=steps + 1)
    policy = Policy(model(), tokenizer())
    train(policy, DPO(), source, config, seed=Seed(0), run_dir=folder, require_eos=False)
    print(json.dumps({"faults": source.faults, "resident": source.resident}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
