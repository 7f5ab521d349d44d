import torch
from transformers import AutoTokenizer

from fairlead.core.seeds import Seed
from fairlead.testbeds.assistant import AssistantWorld

WORLD = AssistantWorld()
TOKENIZER = WORLD.tokenizer()


def test_every_text_of_the_world_survives_the_tokenizer():
    made = WORLD.demonstrations(4000, Seed(0))
    texts = {text for d in made for text in (d.prompt.first_user_turn, d.response)}
    for text in texts | set(WORLD.texts()):
        ids = TOKENIZER.encode(text)
        assert TOKENIZER.decode(ids) == text
        assert len(ids) == len(text.split())
        assert TOKENIZER.unk_token_id not in ids


def test_chat_template_by_hand():
    chat = [
        {"role": "user", "content": "what is it ?"},
        {"role": "assistant", "content": "it is rome ."},
    ]
    whole = TOKENIZER.apply_chat_template(chat, tokenize=False)
    start = TOKENIZER.apply_chat_template(chat[:1], tokenize=False, add_generation_prompt=True)
    assert whole == "<bos> <user> what is it ? <assistant> it is rome . <eos>"
    assert start.strip() == "<bos> <user> what is it ? <assistant>"
    encoded = TOKENIZER.apply_chat_template(
        chat, return_dict=True, return_assistant_tokens_mask=True
    )
    assert TOKENIZER.decode(encoded["input_ids"]) == whole
    assert encoded["assistant_masks"] == [0] * 7 + [1] * 5


def test_special_tokens_are_distinct_and_skipped():
    special = [TOKENIZER.bos_token_id, TOKENIZER.eos_token_id]
    special += [TOKENIZER.pad_token_id, TOKENIZER.unk_token_id]
    assert len(set(special)) == 4
    ids = TOKENIZER.encode("<bos> <user> it is rome . <assistant> <eos>")
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == "it is rome ."
    assert TOKENIZER.encode("xyzzy") == [TOKENIZER.unk_token_id]


def test_the_vocabulary_is_the_same_for_every_seed():
    assert AssistantWorld(seed=5).tokenizer().get_vocab() == TOKENIZER.get_vocab()
    assert 300 <= len(TOKENIZER) <= 500


def test_sequences_are_short():
    lengths = [
        4 + len(d.prompt.first_user_turn.split()) + len(d.response.split())
        for d in WORLD.demonstrations(8000, Seed(1))
    ]
    assert max(lengths) <= 38
    assert sum(lengths) / len(lengths) <= 24


def test_the_tokenizer_is_saved_and_loaded(tmp_path):
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "the capital of france is paris ."
    assert loaded.decode(loaded.encode(text)) == text
    assert loaded.chat_template == TOKENIZER.chat_template


def test_a_fresh_model_has_a_million_parameters_and_its_own_seed():
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    model = WORLD.fresh_model(TOKENIZER, Seed(1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert 0.8e6 <= sum(p.numel() for p in model.parameters()) <= 1.3e6
    same, other = WORLD.fresh_model(TOKENIZER, Seed(1)), WORLD.fresh_model(TOKENIZER, Seed(2))
    weight = model.model.layers[0].self_attn.q_proj.weight
    assert torch.equal(weight, same.model.layers[0].self_attn.q_proj.weight)
    assert not torch.equal(weight, other.model.layers[0].self_attn.q_proj.weight)
    assert model.lm_head.weight is model.model.embed_tokens.weight
