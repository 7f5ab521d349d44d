"""CARDS, against a slow way that reads everything anew, one prompt after the other."""

import json
import math
from dataclasses import dataclass, field
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
    reward,
    reward_model,
    score_of,
    tokens_of,
)
from tests.generation.tiny_policies import EOS

from fairlead.core.errors import ConfigError
from fairlead.decoding.best_of_n import BestOfN
from fairlead.decoding.cards import CARDS
from fairlead.decoding.segments import entropies
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt

REFERENCE = Path(__file__).parents[2] / "../shared/reference/reference_values.json"
LONGEST = 20
SETTINGS: dict[str, Any] = {
    "goal": 1.0,
    "entropy": 2.4,
    "longest": 9,
    "rejections": 4,
    "sampling": Sampling(max_new_tokens=LONGEST, temperature=0.7, top_k=8),
}


@dataclass
class Slow:
    said: list[int] = field(default_factory=list)
    policy_tokens: int = 0
    reward_tokens: int = 0
    reward_calls: int = 0
    drawn: int = 0
    refused: int = 0
    lengths: list[int] = field(default_factory=list)


def slowly(family: str, place: int, prompt: Prompt, given: CARDS) -> Slow:
    twin, model = plain(policy(family).model), reward_model(family)
    judge = plain(model.model)
    ids, own = list(ids_of(prompt)), Slow()

    def worth(said: list[int]) -> float:
        own.reward_calls += 1
        own.reward_tokens += len(ids) + len(said) + (EOS not in said)
        return score_of(model, judge, [*ids, *said], ended=True)

    first = (1 - given.alpha) * worth([]) + given.alpha * given.goal
    proposal, rejected = 0, list[tuple[float, list[int]]]()
    while len(own.said) < LONGEST and EOS not in own.said:
        uniforms = SEED.child(place, "proposal", proposal).numpy().random(given.longest)
        new: list[int] = []
        own.policy_tokens += len(ids) + len(own.said)
        while True:
            logits = logits_after(twin, [*ids, *own.said, *new])
            shares = logits.softmax(0)
            if (
                len(new) >= given.shortest
                and float(-(shares * shares.log()).sum()) >= given.entropy
            ):
                own.policy_tokens += len(new)
                break
            likely = logits.argsort(descending=True)[: given.sampling.top_k]
            cooled = (logits[likely] / given.sampling.temperature).softmax(0)
            new.append(int(likely[inverse_cdf(cooled, uniforms[len(new)])]))
            if new[-1] == EOS or len(new) == min(given.longest, LONGEST - len(own.said)):
                own.policy_tokens += len(new) - 1
                break
        own.drawn += len(new)
        score, length = worth([*own.said, *new]), len(own.said) + len(new)
        bar = min(first + length * (given.goal - first) / LONGEST, given.goal)
        uniform = SEED.child(place, "accept", proposal).numpy().random()
        proposal += 1
        if given.beta:
            accepted = uniform < min(1.0, math.exp((score - bar) / given.beta))
        else:
            accepted = score >= bar
        if not accepted:
            own.refused += 1
            rejected.append((score, new))
            if len(rejected) < given.rejections:
                continue
            new = max(rejected, key=lambda pair: pair[0])[1]
        own.said += new
        own.lengths.append(len(new))
        rejected = []
    return own


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom"])
@pytest.mark.parametrize("beta", [0.7, 0.0])
def test_it_is_what_reading_everything_anew_gives(family: str, beta: float) -> None:
    best = BestOfN(n=4, sampling=SETTINGS["sampling"]).build(policy(family), reward(family))
    goal = max(one.score or 0.0 for one in best.decode(PROMPTS, seed=SEED))
    settings = CARDS(**SETTINGS | {"goal": goal}, beta=beta)
    found = settings.build(policy(family), reward(family)).decode(PROMPTS, seed=SEED)
    refusals = 0
    for place, (prompt, one) in enumerate(zip(PROMPTS, found, strict=True)):
        own = slowly(family, place, prompt, settings)
        assert one.reply.response_ids == tuple(own.said)
        assert one.reply.finish == ("eos" if own.said[-1] == EOS else "length")
        assert one.spent.policy_tokens == own.policy_tokens
        assert one.spent.reward_tokens == own.reward_tokens
        assert one.spent.reward_calls == own.reward_calls
        assert one.counts == pytest.approx(
            {
                "segments": len(own.lengths),
                "segment_tokens": sum(own.lengths) / len(own.lengths),
                "rejections": own.refused / len(own.lengths),
                "policy_calls": own.drawn,
            }
        )
        assert one.score == pytest.approx(float(reward(family).score([one.reply]).values), abs=1e-4)
        refusals += own.refused
    assert refusals > 5


def test_segments_end_where_the_policy_is_unsure() -> None:
    unsure = CARDS(**SETTINGS).build(policy(), reward()).decode(PROMPTS, seed=SEED)
    assert {one.counts["segment_tokens"] for one in unsure} != {9.0}
    given = SETTINGS | {"entropy": 0.0, "goal": -100.0, "shortest": 5}
    always = CARDS(**given).build(policy(), reward()).decode(PROMPTS, seed=SEED)
    for one in always:
        length = len(one.reply.response_ids)
        assert one.counts["segments"] == -(-length // 5)
        assert one.counts["rejections"] == 0


def test_a_soft_rule_without_softness_is_the_hard_rule() -> None:
    hard = CARDS(**SETTINGS, beta=0.0).build(policy(), reward()).decode(PROMPTS, seed=SEED)
    almost = CARDS(**SETTINGS, beta=1e-9).build(policy(), reward()).decode(PROMPTS, seed=SEED)
    assert tokens_of(hard) == tokens_of(almost)
    assert [one.spent for one in hard] == [one.spent for one in almost]
    soft = CARDS(**SETTINGS, beta=50.0).build(policy(), reward()).decode(PROMPTS, seed=SEED)
    assert sum(one.counts["rejections"] for one in soft) < sum(
        one.counts["rejections"] for one in hard
    )


def test_out_of_reach_the_best_of_the_rejected_is_taken() -> None:
    given = SETTINGS | {"goal": 1e6, "beta": 0.0}
    for one in CARDS(**given).build(policy(), reward()).decode(PROMPTS, seed=SEED):
        assert one.counts["rejections"] == 4
        assert one.spent.reward_calls == 1 + 4 * one.counts["segments"]


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference values are not here")
def test_reference_values() -> None:
    case = json.loads(REFERENCE.read_text())["dec.cards"]
    given, expected = case["inputs"], case["outputs"]
    sampling = Sampling(max_new_tokens=given["max_new_tokens"])
    own = CARDS(
        goal=given["reward_goal"], alpha=given["alpha"], beta=given["beta"], sampling=sampling
    )
    start = own.first_threshold(given["reward_prompt"])
    assert start == pytest.approx(expected["start_threshold"])
    bars = [own.threshold(start, tokens) for tokens in given["tokens_generated"]]
    assert bars == pytest.approx(expected["thresholds"])
    chances = [
        own.acceptance(score, bar)
        for score, bar in zip(given["candidate_rewards"], bars, strict=True)
    ]
    assert chances == pytest.approx(expected["accept_prob"])
    entropy = float(entropies(torch.tensor([given["next_token_logits"]])))
    assert entropy == pytest.approx(expected["entropy"])
    assert (entropy >= given["entropy_threshold"]) == expected["segment_ends"]


def test_what_passes_the_context_is_refused() -> None:
    with pytest.raises(ConfigError, match="pass the model's context"):
        CARDS(goal=0).build(policy(), reward()).decode(PROMPTS, seed=SEED)
    with pytest.raises(ConfigError, match="there is none"):
        CARDS(goal=0).build(policy())
