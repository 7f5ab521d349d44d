"""Servers in a thread of the tests, with models of a few thousand weights, and real clients."""

import threading
import time
from functools import cache

import openai
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Rollout, Sampling
from fairlead.models.policy import Policy
from fairlead.records import Prompt
from fairlead.serving.choosing import prepared
from fairlead.serving.server import listening, server_of
from fairlead.serving.settings import ServeSettings
from small_world import tokenizer, world

CONTEXT = 2048
NAME = "tiny"


def _llama(tokens, seed: int = 0, *, eos: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.1,
        eos_token_id=eos,
        bos_token_id=None,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def words(seed: int = 0, *, packs: bool = True) -> Policy:
    """Speaks the words of the assistant's world, with room for long replies."""
    model = _llama(tokenizer(), seed, eos=int(tokenizer().eos_token_id))
    policy = Policy(model, tokenizer(), base="tiny")
    if not packs:
        policy.trunk.packs = False
        model.set_attn_implementation("sdpa")
    return policy


@cache
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte: most characters beyond ASCII take several."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({"<eos>": 0, **{c: i + 1 for i, c in enumerate(alphabet)}}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


def spelling(seed: int = 0) -> Policy:
    """Speaks bytes, so that many of its characters are broken."""
    return Policy(_llama(byte_tokenizer(), seed, eos=0), byte_tokenizer(), base="bytes")


def asked(n: int, seed: int = 0) -> list[Prompt]:
    return world().prompts(n, seed=Seed(seed).child("served"), split="train")


def turns(prompt: Prompt) -> list[dict[str, str]]:
    """A prompt as clients send it."""
    return [{"role": m.role, "content": m.content} for m in prompt.messages]


def alone(policy: Policy, prompt: Prompt, sampling: Sampling, *, seed: int = 0, n: int = 1):
    """What the local engine replies, without any server."""
    ids = ChatFormat(policy.tokenizer).prompt_ids(prompt)
    return LocalEngine(policy).sample([ids], sampling, n=n, seed=Seed(seed))


def text_of(policy: Policy, rollout: Rollout) -> str:
    return ChatFormat(policy.tokenizer).text(rollout.tokens)


class Running:
    """A server that listens on a free port while the block lasts."""

    def __init__(self, policy=None, *, decoder=None, reward=None, votes=None, **settings):
        self.policy = words() if policy is None else policy
        self.settings = ServeSettings(name=NAME, port=0, **settings)
        self.listener = listening(self.settings)
        port = self.listener.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        served, self.worker = prepared(self.policy, self.settings, decoder, reward)
        self.server = server_of(served, self.settings, self.worker, votes)
        self.thread = threading.Thread(target=self.server.run, args=([self.listener],))

    def __enter__(self):
        self.worker.start()
        self.thread.start()
        self.asking = self.client()
        return self

    def __exit__(self, *_):
        self.asking.close()
        self.server.should_exit = True
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()

    def client(self, **more) -> openai.OpenAI:
        return openai.OpenAI(**self._options(more))

    def many(self, **more) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**self._options(more))

    def _options(self, more):
        key = self.settings.api_key or "none"
        return {"base_url": self.address + "/v1", "api_key": key, "max_retries": 0, **more}

    def chat(self, prompt: Prompt, **more):
        """One answer by the real client."""
        told = turns(prompt)
        return self.asking.chat.completions.create(model=NAME, messages=told, **more)

    def until(self, condition, seconds: float = 20.0):
        """Waits until the worker's load fits."""
        end = time.monotonic() + seconds
        while not condition(self.worker.load):
            assert time.monotonic() < end, self.worker.load
            time.sleep(0.005)


def joined(stream) -> tuple[dict[int, str], dict[int, str], list]:
    """Texts and ends of a stream by choice, and all of its chunks."""
    texts, ends, chunks = {}, {}, []
    for chunk in stream:
        chunks.append(chunk)
        for choice in chunk.choices:
            more = choice.delta.content or "" if hasattr(choice, "delta") else choice.text
            texts[choice.index] = texts.get(choice.index, "") + more
            if choice.finish_reason is not None:
                assert choice.index not in ends
                ends[choice.index] = choice.finish_reason
    return texts, ends, chunks
