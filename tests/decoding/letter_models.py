"""Tiny random policies and reward models that spell, and slow ways to ask them."""

import copy
import json
from collections.abc import Sequence
from typing import Any

import torch
from tests.generation.tiny_policies import EOS, SYMBOLS, bloom, gpt2, letters, llama
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.models.policy import Policy
from fairlead.models.reward_model import RewardModel
from fairlead.records import Prompt
from fairlead.rewards.base import Reply
from fairlead.rewards.model import ModelReward

MAKERS: dict[str, Any] = {"llama": llama, "gpt2": gpt2, "bloom": bloom}
"""Two families that pack and one that runs padded."""

PROMPTS = [Prompt.of(text) for text in ("hi", "say it again, please", "so", "a b c", "why not")]
SEED = Seed(5)


def policy(family: str = "llama") -> Policy:
    return Policy(MAKERS[family](), letters()).eval()


def reward_model(family: str = "llama", tokenizer: Any = None) -> RewardModel:
    """With other weights than the policy of the family, and scores of some spread."""
    model = MAKERS[family]()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(7)
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape))
    made = RewardModel(model.base_model, tokenizer or letters())
    made.draw_head(Seed(3))
    with torch.no_grad():
        made.head.weight.mul_(2.0)
        made.offset.fill_(0.25)
    return made.eval()


def reward(family: str = "llama") -> ModelReward:
    return ModelReward(reward_model(family), letters())


def renumbered() -> PreTrainedTokenizerFast:
    """The same letters under other numbers."""
    from tokenizers import Tokenizer

    backend = json.loads(letters().backend_tokenizer.to_str())
    backend["model"]["vocab"] = {s: len(SYMBOLS) - 1 - i for i, s in enumerate(SYMBOLS)}
    backend["added_tokens"] = []
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend)),
        eos_token="$",
        bos_token="^",
        pad_token="$",
    )


def ids_of(prompt: Prompt) -> tuple[int, ...]:
    return ChatFormat(letters()).prompt_ids(prompt)


def tokens_of(found: Sequence[Any]) -> list[tuple[int, ...]]:
    return [one.reply.response_ids for one in found]


def plain(model: Any) -> Any:
    """A copy that attends as transformers does."""
    twin = copy.deepcopy(model).eval()
    twin.set_attn_implementation("eager")
    return twin


def logits_after(twin: Any, ids: Sequence[int]) -> Tensor:
    """Next-token logits by a whole forward of the transformers model."""
    with torch.no_grad():
        return twin(input_ids=torch.tensor([list(ids)])).logits[0, -1].double()


def score_of(model: RewardModel, twin: Any, ids: Sequence[int], *, ended: bool) -> float:
    """Score of a text by a whole forward; `ended`: with its EOS, as reward models see replies."""
    shown = [*ids] if not ended or ids[-1] == EOS else [*ids, EOS]
    with torch.no_grad():
        hidden = twin(input_ids=torch.tensor([shown])).last_hidden_state[0, -1]
        return float(model.head(hidden)[0] - model.offset)


def inverse_cdf(weights: Tensor, uniform: float) -> int:
    """The first place where the cumulative share passes a number in [0, 1)."""
    shares = (weights / weights.sum()).cumsum(0)
    return int((shares <= uniform).sum().clamp(max=len(weights) - 1))


def whole_reply(prompt: Prompt, tokens: Sequence[int]) -> Reply:
    text = ChatFormat(letters()).text(tokens)
    return Reply(prompt, ids_of(prompt), tuple(tokens), text)
