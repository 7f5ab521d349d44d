"""A policy whose weights moved far, beside one whose weights hardly moved."""

import copy
from functools import lru_cache

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fairlead.audits.base import Model, Subject
from fairlead.audits.drift import Drift
from fairlead.audits.items.unrelated import UNRELATED
from fairlead.audits.planted.cases import Case, case
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.planted.written import written
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer
from fairlead.models.policy import Policy
from fairlead.testbeds.arithmetic.model import piece_tokenizer

FAR, NEAR = 0.5, 0.01
"""Noise on the weights of the last layer, relative to their spread."""
PROMPTS = 12


def moved(seed: Seed, noise: float) -> Finding:
    """The audit of a policy whose last layer has noise of this size on it."""
    before = small_policy()
    generator = torch.Generator().manual_seed(seed.child("noise").value)
    after = copy.deepcopy(before.model)
    weight = after.get_output_embeddings().weight
    with torch.no_grad():
        weight += noise * weight.std() * torch.randn(weight.shape, generator=generator)
    rows = ({"prompt": f"{i} and {i + 1}"} for i in range(PROMPTS))
    with written(rows) as path:
        subject = Subject(
            candidate=_model("candidate", Policy(after, before.tokenizer), seed),
            baseline=_model("baseline", before, seed),
            seed=seed,
        )
        return Drift(trained_on=path, items=PROMPTS, max_tokens=12).run(subject)


def _model(name: str, policy: Policy, seed: Seed) -> Model:
    silent = Scripted(lambda *_: Answer(), seed=seed)
    return Model(name, silent, policy)


@lru_cache(maxsize=1)
def small_policy() -> Policy:
    """A random model of one layer that reads letters."""
    tokenizer = piece_tokenizer(set("".join(UNRELATED)) | set("0123456789"))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.4,
        eos_token_id=tokenizer.convert_tokens_to_ids("<eos>"),  # pyright: ignore
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return Policy(LlamaForCausalLM(config), tokenizer)


case(
    Case(
        name="a policy that drifted",
        audit="drift",
        planted=lambda seed: moved(seed, FAR),
        clean=lambda seed: moved(seed, NEAR),
    )
)
