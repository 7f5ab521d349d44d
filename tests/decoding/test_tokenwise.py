"""ARGS and token-wise controlled decoding, against a slow way that reads everything anew."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from letter_models import (
    PROMPTS,
    SEED,
    ids_of,
    inverse_cdf,
    logits_after,
    plain,
    policy,
    renumbered,
    reward,
    reward_model,
    score_of,
    tokens_of,
)
from tests.generation.tiny_policies import EOS, letters

from fairlead.core.errors import ConfigError
from fairlead.decoding.args import ARGS
from fairlead.decoding.controlled import Controlled
from fairlead.decoding.judging import ValueReward
from fairlead.decoding.tokenwise import Rule
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.models.reward_model import RewardModel
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward
from fairlead.rewards.model import ModelReward

REFERENCE = Path(__file__).parents[2] / "../shared/reference/reference_values.json"
LONGEST = 14


def slowly(
    family: str,
    place: int,
    prompt: Prompt,
    *,
    k: int,
    weight: float,
    temperature: float,
    ended: bool,
) -> tuple[list[int], float]:
    """One reply by whole forwards of one text at a time; and the reward of its last token."""
    twin, model = plain(policy(family).model), reward_model(family)
    judge = plain(model.model)
    uniforms = SEED.child(place, 0).numpy().random(LONGEST)
    ids, said, worth = list(ids_of(prompt)), list[int](), 0.0
    while len(said) < LONGEST and EOS not in said:
        logits = logits_after(twin, [*ids, *said])
        likely = logits.argsort(descending=True)[:k].tolist()
        rewards = [score_of(model, judge, [*ids, *said, v], ended=ended) for v in likely]
        scores = logits[likely] + weight * torch.tensor(rewards, dtype=torch.float64)
        if temperature == 0:
            chosen = int(scores.argmax())
        else:
            chosen = inverse_cdf((scores / temperature).softmax(0), uniforms[len(said)])
        said.append(likely[chosen])
        worth = rewards[chosen]
    return said, worth


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_args_is_what_reading_everything_anew_gives(family: str, temperature: float) -> None:
    settings = ARGS(k=4, weight=1.5, temperature=temperature, max_new_tokens=LONGEST)
    found = settings.build(policy(family), reward(family)).decode(PROMPTS, seed=SEED)
    for place, (prompt, own) in enumerate(zip(PROMPTS, found, strict=True)):
        said, worth = slowly(
            family, place, prompt, k=4, weight=1.5, temperature=temperature, ended=True
        )
        assert own.reply.response_ids == tuple(said)
        assert own.reply.finish == ("eos" if said[-1] == EOS else "length")
        assert own.score == pytest.approx(worth, abs=1e-4)
    if temperature:
        assert {own.reply.finish for own in found} == {"eos", "length"}


def test_the_reward_changes_what_is_said() -> None:
    said = [
        tokens_of(
            ARGS(k=4, weight=w, max_new_tokens=LONGEST)
            .build(policy(), reward())
            .decode(PROMPTS, seed=SEED)
        )
        for w in (0.0, 1.5)
    ]
    assert sum(a != b for a, b in zip(*said, strict=True)) >= 4


def test_a_value_model_is_read_without_an_end() -> None:
    value = ValueReward(reward_model(), letters())
    decoder = Controlled(k=4, strength=2.0, max_new_tokens=LONGEST).build(policy(), reward(), value)
    found = decoder.decode(PROMPTS[:3], seed=SEED)
    for place, (prompt, own) in enumerate(zip(PROMPTS, found, strict=False)):
        said, _ = slowly("llama", place, prompt, k=4, weight=2.0, temperature=1.0, ended=False)
        assert own.reply.response_ids == tuple(said)
        # The reward, not the value, judges the whole.
        judge = reward_model()
        ids = [*ids_of(prompt), *said]
        assert own.score == pytest.approx(
            score_of(judge, plain(judge.model), ids, ended=True), abs=1e-4
        )
        length = len(said)
        assert own.spent.policy_tokens == len(ids_of(prompt)) + length - 1
        ends = said[-1] != EOS
        read_in_the_end = len(ids) + ends
        assert own.spent.reward_tokens == len(ids_of(prompt)) + 4 * length + read_in_the_end
        assert own.spent.reward_calls == 4 * length + 1


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_without_weight_it_is_greedy_or_top_k_sampling(family: str) -> None:
    own, ids = policy(family), [ids_of(prompt) for prompt in PROMPTS]
    for temperature in (0.0, 0.7):
        sampling = Sampling(max_new_tokens=LONGEST, temperature=temperature, top_k=5)
        engine = [r.tokens for r in LocalEngine(own).sample(ids, sampling, n=1, seed=SEED)]
        args = ARGS(k=5, weight=0, temperature=temperature, max_new_tokens=LONGEST)
        assert tokens_of(args.build(own, reward(family)).decode(PROMPTS, seed=SEED)) == engine
    free = Sampling(max_new_tokens=LONGEST, top_k=5)
    engine = [r.tokens for r in LocalEngine(own).sample(ids, free, n=1, seed=SEED)]
    controlled = Controlled(k=5, strength=0, max_new_tokens=LONGEST)
    assert tokens_of(controlled.build(own, reward(family)).decode(PROMPTS, seed=SEED)) == engine


def test_what_is_spent() -> None:
    """Kept keys: the prompt once, then each candidate and its EOS. Read anew: all of it."""
    settings = ARGS(k=3, max_new_tokens=LONGEST)
    kept = settings.build(policy(), reward()).decode(PROMPTS, seed=SEED)
    anew = settings.build(policy("bloom"), reward("bloom")).decode(PROMPTS, seed=SEED)
    for prompt, one, two in zip(PROMPTS, kept, anew, strict=True):
        before, length = len(ids_of(prompt)), len(one.reply.response_ids)
        assert one.spent.policy_tokens == before + length - 1
        assert one.spent.reward_tokens == before + 2 * 3 * length
        assert one.spent.reward_calls == 3 * length
        length = len(two.reply.response_ids)
        assert two.spent.policy_tokens == before + length - 1
        # Each candidate with everything before it and an EOS, but for candidates that are the EOS.
        most = sum(3 * (before + step + 1) for step in range(1, length + 1))
        assert most - length <= two.spent.reward_tokens <= most
        assert two.spent.reward_calls == 3 * length


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference values are not here")
def test_reference_values() -> None:
    values = json.loads(REFERENCE.read_text())
    case = values["dec.args"]
    given, expected = case["inputs"], case["outputs"]
    logits, rewards = (torch.tensor([given[n]]) for n in ("topk_logits", "topk_rewards"))
    rule = Rule(5, given["w"], given["temperature"], 1)
    assert rule.scores(logits, rewards)[0].tolist() == pytest.approx(expected["scores"])
    shares = rule.logps(logits, rewards).exp()[0].tolist()
    assert shares == pytest.approx(expected["stochastic_probs"], rel=1e-4)
    best = Rule(5, given["w"], 0.0, 1).choose(logits, rewards, torch.zeros(1))
    assert best.tolist() == [expected["greedy_index"]]
    case = values["dec.controlled_decoding"]
    given = case["inputs"]
    logps, worth = torch.tensor([given["base_logps"]]), torch.tensor([given["values"]])
    shares = Rule(4, given["lambda"], 1.0, 1).logps(logps, worth).exp()[0].tolist()
    assert shares == pytest.approx(case["outputs"]["token_policy"], rel=1e-5)


def test_draws_have_the_shares_they_should_have() -> None:
    grid = torch.linspace(0, 1, 10_001, dtype=torch.float64)[:-1]
    logits = torch.tensor([[1.0, 0.5, 0.0]], dtype=torch.float64)
    rewards = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    rule = Rule(3, 0.5, 0.7, 1)
    places = rule.choose(*(x.expand(len(grid), -1) for x in (logits, rewards)), grid)
    shares = places.bincount(minlength=3) / len(grid)
    # 1.0, 0.5 + 0.5 and 0.0, over 0.7.
    expected = torch.tensor([1.0, 1.0, 0.0]).div(0.7).softmax(0)
    assert shares.tolist() == pytest.approx(expected.tolist(), abs=2e-4)


def test_a_stop_text_ends_the_reply() -> None:
    free = ARGS(k=4, max_new_tokens=LONGEST).build(policy(), reward())
    (said,) = tokens_of(free.decode(PROMPTS[:1], seed=SEED))
    text = letters().decode(list(said[2:4]))
    stopped = ARGS(k=4, max_new_tokens=LONGEST, stop=(text,)).build(policy(), reward())
    (own,) = stopped.decode(PROMPTS[:1], seed=SEED)
    whole = letters().decode(list(said))
    assert own.reply.finish == "stop"
    assert letters().decode(list(own.reply.response_ids)) == whole[: whole.index(text) + len(text)]


@pytest.mark.parametrize("settings", [ARGS(), Controlled()])
def test_rewards_that_cannot_score_tokens_are_refused(settings: Any) -> None:
    other = ModelReward(reward_model(tokenizer=renumbered()), letters())
    with pytest.raises(ConfigError, match="policy's tokenizer"):
        settings.build(policy(), other)
    with pytest.raises(ConfigError, match="only a reward model can do"):
        settings.build(policy(), FunctionReward(lambda prompt, text: 0.0))
    with pytest.raises(ConfigError, match="there is none"):
        settings.build(policy())
    with pytest.raises(ConfigError, match="policy's tokenizer"):
        ValueReward(reward_model(tokenizer=renumbered()), letters())


def test_what_passes_a_context_is_refused() -> None:
    prompt = PROMPTS[:1]
    room = 96 - len(ids_of(prompt[0]))
    fits = ARGS(k=2, max_new_tokens=room - 1).build(policy(), reward())
    assert len(fits.decode(prompt, seed=SEED)) == 1
    with pytest.raises(ConfigError, match="pass the reward model's context"):
        ARGS(k=2, max_new_tokens=room).build(policy(), reward()).decode(prompt, seed=SEED)
    with pytest.raises(ConfigError, match="pass the model's context"):
        ARGS(k=2, max_new_tokens=room + 1).build(policy(), reward()).decode(prompt, seed=SEED)


def test_gated_heads_see_the_prompt() -> None:
    """A head that weighs by the prompt scores branches as it scores whole texts."""
    from tests.generation.tiny_policies import llama

    from fairlead.core.seeds import Seed
    from fairlead.models.heads import Dimensions

    model = RewardModel(llama().base_model, letters(), head=Dimensions(names=("a", "b")))
    model.draw_head(Seed(1))
    source = ModelReward(model.eval(), letters())
    (own,) = ARGS(k=4, max_new_tokens=6).build(policy(), source).decode(PROMPTS[1:2], seed=SEED)
    assert own.score == pytest.approx(float(source.score([own.reply]).values), abs=1e-4)
