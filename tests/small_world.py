"""A policy of a few thousand weights and the assistant's records, for runs that take seconds."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat, Item, encode
from fairlead.models.loading import Lora, save_policy
from fairlead.models.policy import Policy, RewardModel
from fairlead.records import Comparison, Demonstration, Prompt, Rating
from fairlead.testbeds.assistant import DEMONSTRATOR, IDEAL, AssistantWorld

LENGTH = 64


@cache
def world() -> AssistantWorld:
    return AssistantWorld()


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    return world().tokenizer()


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer()),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=LENGTH,
        tie_word_embeddings=True,
        initializer_range=0.1,
        pad_token_id=tokenizer().pad_token_id,
        bos_token_id=tokenizer().bos_token_id,
        eos_token_id=tokenizer().eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def tiny_policy(seed: int = 0, *, lora: Lora | None = None, value: str = "none") -> Policy:
    model = tiny_llama(seed)
    wrapped = model if lora is None else lora.wrap(model)
    return Policy(wrapped, tokenizer(), base="tiny", value=value)  # pyright: ignore


def tiny_reward_model(seed: int = 0) -> RewardModel:
    model = RewardModel(tiny_llama(seed).base_model, tokenizer(), base="tiny")
    model.draw_head(Seed(seed).child("head"))
    return model


def prompts(n: int, seed: int = 0) -> list[Prompt]:
    return world().prompts(n, seed=Seed(seed).child("prompts"), split="train")


def demonstrations(n: int, seed: int = 0) -> list[Demonstration]:
    return world().demonstrations(n, Seed(seed).child("demonstrations"))


def comparisons(n: int, seed: int = 0) -> list[Comparison]:
    """The ideal speaker's reply against the mediocre one's, where they differ."""
    root = Seed(seed).child("comparisons")
    made: list[Comparison] = []
    for i, prompt in enumerate(world().prompts(2 * n, seed=root, split="train")):
        chosen = world().reply(prompt, rates=IDEAL, seed=root.child("chosen", i))
        rejected = world().reply(prompt, rates=DEMONSTRATOR, seed=root.child("rejected", i))
        if chosen != rejected and len(made) < n:
            made.append(Comparison(prompt=prompt, chosen=chosen, rejected=rejected))
    assert len(made) == n
    return made


def items_of(records: Sequence[Demonstration | Comparison | Rating]) -> list[Item]:
    return encode(records, ChatFormat(tokenizer()), max_length=LENGTH)[0]


def prompt_ids(asked: Sequence[Prompt]) -> list[tuple[int, tuple[int, ...]]]:
    chat = ChatFormat(tokenizer())
    return [(i, chat.prompt_ids(prompt)) for i, prompt in enumerate(asked)]


def write_pairs(path: Path, n: int, seed: int = 0) -> Path:
    """Comparisons as the JSON lines that the `preference` reader takes."""
    rows = [
        {"prompt": c.prompt.first_user_turn, "chosen": c.chosen, "rejected": c.rejected}
        for c in comparisons(n, seed)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_base(folder: Path, seed: int = 0) -> Path:
    """A saved tiny policy to start from."""
    save_policy(tiny_policy(seed), folder)
    return folder


def metrics_of(stage: Path, *, timed: bool = False) -> list[dict[str, float]]:
    """The logged lines of a stage, without what a clock says."""
    lines = [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if timed or "time/" not in k} for line in lines]
