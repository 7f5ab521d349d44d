"""The tokenizer of the assistant's world, one word per token, and a small untrained Llama."""

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fairlead.core.seeds import Seed

_SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>", "<system>", "<user>", "<assistant>")
_CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ ' <' + message['role'] + '> ' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + ' ' + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ ' <assistant> ' }}{% endif %}"
)


CONTEXT = 128
"""Tokens that a model of the world has room for, unless more are asked for."""


def word_tokenizer(texts: Iterable[str], *, context: int = CONTEXT) -> PreTrainedTokenizerFast:
    """A tokenizer with one token for every word of the texts.

    The vocabulary depends on the set of words alone. Nothing is added when encoding; the chat
    template writes `<bos> <user> ... <assistant> ... <eos>` with one token per role.
    """
    words = sorted({word for text in texts for word in text.split()} - set(_SPECIAL))
    vocabulary = {word: index for index, word in enumerate((*_SPECIAL, *words))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        additional_special_tokens=["<system>", "<user>", "<assistant>"],
        chat_template=_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=context,
    )


def fresh_model(tokenizer: PreTrainedTokenizerFast, seed: Seed) -> LlamaForCausalLM:
    """A Llama of about one million random parameters, in float32 on the CPU.

    Its context is the tokenizer's. Torch's own random state is left as it was.
    """
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        tie_word_embeddings=True,
        # Narrow models learn facts several times faster from wider weights than the usual 0.02.
        initializer_range=0.07,
        pad_token_id=_SPECIAL.index("<pad>"),
        bos_token_id=_SPECIAL.index("<bos>"),
        eos_token_id=_SPECIAL.index("<eos>"),
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed.value)
        return LlamaForCausalLM(config)
