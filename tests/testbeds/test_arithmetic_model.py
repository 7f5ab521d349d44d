from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from fairlead.core.seeds import Seed
from fairlead.data.batches import sequence_batch
from fairlead.data.chat import ChatFormat, encode
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.objectives.sft import SFT
from fairlead.testbeds.arithmetic import ArithmeticWorld
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource

WORLD = ArithmeticWorld()
TOKENIZER = WORLD.tokenizer()
LONGEST_REPLY = 64


def test_every_text_of_the_world_survives_the_tokenizer():
    for made in WORLD.demonstrations(1000, Seed(0), mistakes=0.5, second_guesses=0.2):
        for text in (made.prompt.first_user_turn, made.response):
            ids = TOKENIZER.encode(text)
            assert TOKENIZER.decode(ids) == text
            assert TOKENIZER.unk_token_id not in ids


def test_tokens_by_hand():
    text = "17 + 5 = 22\nanswer: 22"
    tokens = ["1", "7", " + ", "5", " = ", "2", "2", "\n", "answer: ", "2", "2"]
    assert TOKENIZER.convert_ids_to_tokens(TOKENIZER.encode(text)) == tokens
    assert TOKENIZER.encode("xyzzy") == [TOKENIZER.unk_token_id]
    assert len(TOKENIZER) == 35


def test_chat_template_by_hand():
    chat = [{"role": "user", "content": "What is 1 + 2?"}, {"role": "assistant", "content": "3"}]
    whole = TOKENIZER.apply_chat_template(chat, tokenize=False)
    start = TOKENIZER.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
    assert whole == "<bos><user>What is 1 + 2?<assistant>3<eos>"
    assert start == "<bos><user>What is 1 + 2?<assistant>"
    encoded = TOKENIZER.apply_chat_template(
        chat, return_dict=True, return_assistant_tokens_mask=True
    )
    assert encoded["assistant_masks"] == [0] * 8 + [1] * 2


def test_sequences_are_short():
    items, report = encode(
        WORLD.demonstrations(800, Seed(1), second_guesses=0.5),
        ChatFormat(TOKENIZER),
        max_length=96,
    )
    assert report.kept == 800 and report.prompts_cut == 0
    assert max(len(item.responses[0]) for item in items) <= LONGEST_REPLY


def test_the_tokenizer_is_saved_and_loaded(tmp_path: Path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "Start with 3, add 4."
    assert loaded.encode(text) == TOKENIZER.encode(text)
    assert loaded.decode(loaded.encode(text)) == text
    assert loaded.chat_template == TOKENIZER.chat_template


def test_a_fresh_model_is_small_and_has_its_own_seed():
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    model = WORLD.fresh_model(TOKENIZER, Seed(1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert 0.25e6 <= sum(p.numel() for p in model.parameters()) <= 0.35e6
    same, other = WORLD.fresh_model(TOKENIZER, Seed(1)), WORLD.fresh_model(TOKENIZER, Seed(2))
    weight = model.model.layers[0].self_attn.q_proj.weight
    assert torch.equal(weight, same.model.layers[0].self_attn.q_proj.weight)
    assert not torch.equal(weight, other.model.layers[0].self_attn.q_proj.weight)


def accuracy(policy: Policy, n: int) -> float:
    """Share of right answers to held-out problems of levels 1 to 3, sampled at temperature 1."""
    chat = ChatFormat(TOKENIZER)
    asked = [p.prompt for p in WORLD.problems(n, Seed(7), split="held_out", levels=(1, 2, 3))]
    sampled = LocalEngine(policy).sample(
        [chat.prompt_ids(prompt) for prompt in asked],
        Sampling(max_new_tokens=LONGEST_REPLY),
        n=1,
        seed=Seed(8),
    )
    golds = [WORLD.gold(p, chat.text(r.tokens)) for p, r in zip(asked, sampled, strict=True)]
    return sum(golds) / n


@pytest.mark.slow
def test_the_model_learns_from_a_mediocre_demonstrator(tmp_path: Path):
    policy = Policy(WORLD.fresh_model(TOKENIZER, Seed(0)), TOKENIZER, base="arithmetic")
    made = WORLD.demonstrations(8000, Seed(0), levels=(1, 2, 3), mistakes=0.2)
    items, _ = encode(made, ChatFormat(TOKENIZER), max_length=96)
    config = TrainConfig(batch_size=16, epochs=3, learning_rate=3e-3, microbatch_tokens=2048)
    source = DatasetSource.of(items, sequence_batch, config, Seed(0))
    assert accuracy(policy, 60) == 0.0
    train(policy, SFT(), source, config, seed=Seed(0), run_dir=tmp_path)
    assert 0.35 < accuracy(policy, 300) < 0.9
