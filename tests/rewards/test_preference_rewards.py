"""Rewards from comparisons: general preference models, judging policies, judges who write."""

from collections.abc import Sequence

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.verdicts import VerdictFormat
from fairlead.models.heads import Preference, Scalar
from fairlead.models.policy import Policy
from fairlead.models.reward_model import RewardModel
from fairlead.records import Prompt
from fairlead.rewards.base import Reply
from fairlead.rewards.judge import JudgeReward
from fairlead.rewards.preference import (
    GeneralPreferenceReward,
    PairwiseGenerativeReward,
    win_probabilities,
)

SIGNS = ["<eos>", *(chr(c) for c in range(32, 127)), "\n"]


def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE({s: i for i, s in enumerate(SIGNS)}, []))
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>")


TOKENIZER = tokenizer()


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(SIGNS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config)


def replies(*texts: str, prompt: str = "why") -> list[Reply]:
    encoded = [tuple(TOKENIZER(text)["input_ids"]) for text in texts]  # pyright: ignore
    ids = tuple(TOKENIZER(f"Human: {prompt}\n\nAssistant:")["input_ids"])  # pyright: ignore
    asked = Prompt.of(prompt)
    return [Reply(asked, ids, (*own, 0), text) for own, text in zip(encoded, texts, strict=True)]


def preference_model() -> RewardModel:
    made = RewardModel(llama().base_model, TOKENIZER, head=Preference(subspaces=2))
    made.draw_head(Seed(0))
    return made.eval()


def test_win_probabilities_of_stone_scissors_paper() -> None:
    # On a circle each beats the next by the same: everybody wins half of the time.
    angle = torch.tensor([0.0, 2.0, 4.0]) * torch.pi / 3
    circle = torch.stack([angle.cos(), angle.sin()], dim=1).double()
    wins = win_probabilities(circle, torch.ones(3, 1), torch.zeros(3).long(), temperature=0.1)
    torch.testing.assert_close(wins, torch.full((3,), 0.5).double())


def test_the_group_alone_is_compared() -> None:
    rewards = torch.tensor([2.0, 0.0, 1.0, 5.0]).double()
    line = torch.stack([rewards, torch.ones(4).double()], dim=1)
    group = torch.tensor([0, 1, 0, 2])
    wins = win_probabilities(line, torch.ones(4, 1), group, temperature=1.0)
    sure = torch.sigmoid(torch.tensor(1.0)).item()
    assert wins.tolist() == pytest.approx([sure, 0.5, 1 - sure, 0.5])


def test_wins_of_a_group_average_one_half() -> None:
    source = GeneralPreferenceReward(preference_model(), TOKENIZER)
    scored = source.score([*replies("one", "two", "three"), *replies("a", "b", prompt="else")])
    assert not scored.advantages
    assert scored.values[:3].mean().item() == pytest.approx(0.5, abs=1e-6)
    assert scored.values[3:].mean().item() == pytest.approx(0.5, abs=1e-6)


def test_advantages_are_centred_and_say_what_dominates() -> None:
    source = GeneralPreferenceReward(preference_model(), TOKENIZER, advantages=True)
    scored = source.score([*replies("one", "two", "three", "four"), *replies("a", prompt="else")])
    assert scored.advantages
    assert scored.values[:4].mean().item() == pytest.approx(0.0, abs=1e-5)
    assert scored.values[4].item() == 0.0
    dominance = scored.parts["dominance"]
    assert bool(((dominance >= 0.5 - 1e-6) & (dominance <= 1 + 1e-6)).all())
    assert scored.parts["wins"].shape == (5,)


def test_a_model_of_scores_is_no_preference_model() -> None:
    with pytest.raises(ConfigError, match="does not give embeddings"):
        GeneralPreferenceReward(
            RewardModel(llama().base_model, TOKENIZER, head=Scalar()), TOKENIZER
        )


def judge() -> Policy:
    return Policy(llama(), TOKENIZER)


def test_both_orders_are_averaged() -> None:
    source = PairwiseGenerativeReward(judge())
    (first, second), (other, another) = source.chances(
        [(Prompt.of("why"), "one", "two"), (Prompt.of("why"), "two", "one")]
    )
    # "two" against "one" are the same two questions, seen from the other side.
    assert (other, another) == pytest.approx((1 - second, 1 - first), abs=1e-6)
    scored = source.score(replies("one", "two"))
    assert scored.values.tolist() == pytest.approx(
        [(first + second) / 2, 1 - (first + second) / 2], abs=1e-6
    )
    assert scored.parts["order_gap"].tolist() == pytest.approx([abs(first - second)] * 2, abs=1e-6)


def test_verdicts_are_a_softmax_over_the_two_options() -> None:
    policy, form = judge(), VerdictFormat()
    question = form.question(Prompt.of("why"), "one", "two")
    text = f"Human: {question.messages[0].content}\n\nAssistant:"
    ids = torch.tensor([TOKENIZER(f"{text} ")["input_ids"]])
    with torch.no_grad():
        logits = llama()(input_ids=ids).logits[0, -1]
    a, b = (TOKENIZER.convert_tokens_to_ids(option) for option in form.options)
    expected = torch.softmax(logits[[a, b]], 0)[0].item()
    got = PairwiseGenerativeReward(policy).chances([(Prompt.of("why"), "one", "two")])[0][0]
    assert got == pytest.approx(expected, abs=1e-5)


def test_opponents_may_be_given() -> None:
    source = PairwiseGenerativeReward(judge(), opponents={Prompt.of("why"): ("two", "three")})
    alone = source.score(replies("one")).values.item()
    pairs = [(Prompt.of("why"), "one", other) for other in ("two", "three")]
    expected = sum(sum(pair) / 2 for pair in source.chances(pairs)) / 2
    assert alone == pytest.approx(expected, abs=1e-6)
    assert source.score(replies("one", prompt="else")).values.item() == 0.5


class Counting:
    """Counts letters; cannot read a question mark."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def judge(self, prompt: Prompt, replies: Sequence[str]) -> list[float | None]:
        self.asked.append(tuple(replies))
        return [None if "?" in text else float(len(text)) for text in replies]


def test_unreadable_verdicts_are_counted_and_never_zero() -> None:
    counting = Counting()
    given = [*replies("aa", "?", "bbbb"), *replies("?", prompt="else")]
    scored = JudgeReward(counting).score(given)
    assert scored.values.tolist() == [2.0, 3.0, 4.0, 3.0]  # the group's mean, then that of all
    assert scored.parts["unparsed"].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert scored.reasons == ("judged", "unparsed", "judged", "unparsed")
    assert counting.asked == [("aa", "?", "bbbb"), ("?",)]


def test_a_judge_whom_nobody_understands_stops_the_run() -> None:
    with pytest.raises(DataError, match="not one verdict"):
        JudgeReward(Counting()).score(replies("?", "??"))


class Silent:
    def judge(self, prompt: Prompt, replies: Sequence[str]) -> list[float | None]:
        return []


def test_every_reply_gets_a_verdict() -> None:
    with pytest.raises(DataError, match="another number"):
        JudgeReward(Silent()).score(replies("a"))
