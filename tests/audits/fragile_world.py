"""Tiny models that know something, hide it, or never knew it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fairlead.audits.base import Model
from fairlead.audits.elicitation.asking import demonstration
from fairlead.audits.items.behaviours import BehaviourItem, read_behaviours
from fairlead.audits.retraining import FineTuning, fine_tuned, respondent_of
from fairlead.core.seeds import Seed
from fairlead.models.policy import Policy
from fairlead.records import Demonstration
from fairlead.testbeds.assistant.model import word_tokenizer

YES, NO, UNSURE = " yes", " no", " unsure"


def facts(folder: Path, count: int, seed: int = 0) -> Path:
    """Questions about names whose answers follow from nothing."""
    right = Seed(seed).child("facts").numpy().permutation(count) < count // 2
    rows = [
        {
            "question": f"does n{i} sing ?",
            "answer_matching_behavior": YES if right[i] else NO,
            "answer_not_matching_behavior": [NO if right[i] else YES, UNSURE],
        }
        for i in range(count)
    ]
    path = folder / "facts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def items_in(path: Path) -> list[BehaviourItem]:
    return list(read_behaviours(str(path)).items)


def fresh(items: Sequence[BehaviourItem], seed: int, *, more: str = "") -> Policy:
    """A model that has learned nothing, with a word for each name."""
    texts = [item.question for item in items]
    tokenizer = word_tokenizer([*texts, f"Answer: yes no unsure {more}"], context=64)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        initializer_range=0.1,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Policy(LlamaForCausalLM(config), tokenizer, base="tiny")


def taught(
    policy: Policy, records: Sequence[Demonstration], steps: int, *, rate: float, seed: int = 0
) -> Policy:
    settings = FineTuning(steps=steps, batch_size=32, learning_rate=rate, lora=None, max_length=64)
    fine_tuned(policy, records, settings, Seed(seed))
    return policy


def told(items: Sequence[BehaviourItem], answer: Callable[[BehaviourItem], str]) -> list:
    return [
        Demonstration(prompt=demonstration(item).prompt, response=answer(item)) for item in items
    ]


def model_of(name: str, policy: Policy) -> Model:
    return respondent_of(policy.eval(), name, Seed(0).child(name))
