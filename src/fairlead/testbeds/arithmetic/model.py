"""The tokenizer of the arithmetic world, one digit per token, and a small untrained Llama."""

import re
from collections.abc import Iterable

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fairlead.core.seeds import Seed

_SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", "<system>", "<user>", "<assistant>")
_CONTEXT = 128
_CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<' + message['role'] + '>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def piece_tokenizer(pieces: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each of the pieces, spaces included.

    What lies between pieces is unknown. Decoding joins tokens without a space, so a text made of
    pieces comes back as it was. The chat template writes `<bos><user>...<assistant>...<eos>`.
    """
    ordered = sorted(set(pieces) - set(_SPECIAL))
    vocabulary = {piece: index for index, piece in enumerate((*_SPECIAL, *ordered))}
    longest_first = sorted(ordered, key=lambda piece: (-len(piece), piece))
    pattern = "|".join(re.escape(piece) for piece in longest_first)
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=["<system>", "<user>", "<assistant>"],
        chat_template=_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=_CONTEXT,
    )


def fresh_model(tokenizer: PreTrainedTokenizerFast, seed: Seed) -> LlamaForCausalLM:
    """A Llama of about 300,000 random parameters, in float32 on the CPU.

    Torch's own random state is left as it was.
    """
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=176,
        # Narrow and deep: 128 wide and 3 deep costs as much and adds far worse.
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.07,
        pad_token_id=_SPECIAL.index("<pad>"),
        bos_token_id=_SPECIAL.index("<bos>"),
        eos_token_id=_SPECIAL.index("<eos>"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed.value)
        return LlamaForCausalLM(config)
