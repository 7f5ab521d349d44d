"""Search over chunks and lines."""

from typing import Any

import pytest
from letter_models import PROMPTS, SEED, ids_of, policy, reward, reward_model, tokens_of
from tests.generation.tiny_policies import EOS, letters

from fairlead.core.errors import ConfigError, DataError
from fairlead.decoding import DecoderSettings
from fairlead.decoding.beam import Beam
from fairlead.decoding.best_of_n import BestOfN
from fairlead.decoding.blockwise import Blockwise
from fairlead.decoding.judging import ValueReward
from fairlead.decoding.process_search import ProcessSearch
from fairlead.decoding.search import Plan, _Beam, _kept
from fairlead.generation.sampling import Sampling
from fairlead.models.policy import Policy
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward
from fairlead.stats.best_of_n import best_of_n_kl_bound

LONGEST = 24
SAMPLING = Sampling(max_new_tokens=LONGEST)


def asked(settings: DecoderSettings, **models: Any) -> list[Any]:
    judge = models.pop("reward", None) or reward()
    return list(settings.build(policy(), judge, **models).decode(PROMPTS, seed=SEED))


@pytest.mark.parametrize(
    "settings",
    [
        Beam(width=1, expansions=6, chunk=LONGEST, sampling=SAMPLING),
        Blockwise(blocks=6, block=LONGEST, sampling=SAMPLING),
    ],
    ids=lambda settings: settings.kind,
)
def test_one_beam_and_whole_replies_are_best_of_n(settings: Any) -> None:
    best = asked(BestOfN(n=6, sampling=settings.sampling))
    found = asked(settings)
    assert [one.reply for one in found] == [one.reply for one in best]
    assert [one.score for one in found] == pytest.approx([one.score for one in best], abs=1e-5)
    assert [one.spent.policy_tokens for one in found] == [one.spent.policy_tokens for one in best]
    # Copies of a reply are scored once.
    assert all(
        one.spent.reward_calls <= other.spent.reward_calls
        for one, other in zip(found, best, strict=True)
    )


def test_beams_start_with_what_plain_sampling_draws() -> None:
    """With replies of one chunk, four beams of six samples hold the best of the same six."""
    short = Sampling(max_new_tokens=16)
    best = asked(BestOfN(n=6, sampling=short))
    found = asked(Beam(width=4, expansions=6, chunk=16, sampling=short))
    assert tokens_of(found) == tokens_of(best)


def by_hand(prompt: Prompt, place: int, blocks: int, block: int) -> tuple[list[int], int, int]:
    """Blockwise decoding of one prompt with the engine and the reward as they are."""
    from letter_models import whole_reply

    from fairlead.generation.local import LocalEngine
    from fairlead.generation.rows import Asked

    engine, judge, ids = LocalEngine(policy()), reward(), ids_of(prompt)
    said: list[int] = []
    policy_tokens = reward_tokens = chunk = 0
    while len(said) < LONGEST and EOS not in said:
        seed = SEED.child("chunk", chunk) if chunk else SEED
        limit = Sampling(max_new_tokens=min(block, LONGEST - len(said)))
        rows = [Asked(place, k, (*ids, *said)) for k in range(blocks)]
        drawn = [r.tokens for r in engine.draw(rows, limit, seed=seed)]
        policy_tokens += len(ids) + len(said) + sum(len(own) - 1 for own in drawn)
        different = list(dict.fromkeys(drawn))
        replies = [whole_reply(prompt, (*said, *own)) for own in different]
        scores = judge.score(replies).values.tolist()
        reward_tokens += sum(
            len(ids) + len(r.response_ids) + (EOS not in r.response_ids) for r in replies
        )
        said += different[scores.index(max(scores))]
        chunk += 1
    return said, policy_tokens, reward_tokens


def test_blocks_are_chosen_one_after_the_other_and_paid_for() -> None:
    found = asked(Blockwise(blocks=3, block=7, sampling=SAMPLING))
    for place, (prompt, one) in enumerate(zip(PROMPTS, found, strict=True)):
        said, policy_tokens, reward_tokens = by_hand(prompt, place, 3, 7)
        assert one.reply.response_ids == tuple(said)
        assert one.spent.policy_tokens == policy_tokens
        assert one.spent.reward_tokens == reward_tokens
        chunks = -(-len(said) // 7)
        assert one.counts == pytest.approx(
            {"chunks": chunks, "kl_bound": chunks * best_of_n_kl_bound(3)}
        )


def test_a_value_model_guides_and_the_reward_has_the_last_word() -> None:
    value = ValueReward(reward_model(), letters())
    flat = FunctionReward(lambda prompt, text: 0.0)
    guided = asked(Beam(width=3, expansions=3, sampling=SAMPLING), reward=flat, prefix=value)
    free = asked(Beam(width=3, expansions=3, sampling=SAMPLING), reward=flat)
    assert tokens_of(guided) != tokens_of(free)
    assert all(one.score == 0 for one in guided)
    assert all(one.spent.reward_tokens > 0 for one in guided)
    assert all(one.spent.reward_tokens == 0 < one.spent.reward_calls for one in free)


def test_steps_end_with_lines() -> None:
    seen: list[str] = []

    def longest_last_line(prompt: Prompt, text: str) -> float:
        seen.append(text)
        return float(len(text))

    steps = ProcessSearch(
        width=2, expansions=3, step_tokens=30, sampling=Sampling(max_new_tokens=60)
    )
    found = asked(steps, reward=FunctionReward(longest_last_line))
    texts = [letters().decode(list(tokens)) for tokens in tokens_of(found)]
    assert any("\n" in text for text in texts)
    assert all(len(text) <= 60 for text in texts)
    assert len(set(seen)) > 10
    for text, one in zip(texts, found, strict=True):
        assert one.counts["chunks"] >= text.rstrip("$").count("\n")


def test_few_children_of_one_parent_are_kept() -> None:
    fan = [
        _Beam((k,), None, float(score), parent)
        for k, (score, parent) in enumerate([(9, 0), (8, 0), (7, 0), (6, 1), (5, 2), (4, 1)])
    ]

    def kept(per_parent: int | None, *, first: bool = False) -> list[float | None]:
        plan = Plan(SAMPLING, 4, 3, 8, per_parent=per_parent)
        return [beam.score for beam in _kept(fan, plan, first=first)]

    assert kept(None) == [9, 8, 7, 6]
    assert kept(2) == [9, 8, 6, 5]
    assert kept(1) == [9, 6, 5]
    assert kept(1, first=True) == [9, 8, 7, 6]


def test_a_stop_text_may_lie_across_chunks() -> None:
    free = asked(Blockwise(blocks=2, block=5, sampling=SAMPLING))
    texts = [letters().decode(list(own)) for own in tokens_of(free)]
    place = next(i for i, text in enumerate(texts) if len(text) > 8)
    border = texts[place][4:6]
    assert border not in texts[place][:5]
    stopped = asked(
        Blockwise(blocks=2, block=5, sampling=SAMPLING.model_copy(update={"stop": (border,)}))
    )[place]
    assert letters().decode(list(stopped.reply.response_ids)) == texts[place][:6]
    assert stopped.reply.finish == "stop"


def test_what_passes_the_context_is_refused() -> None:
    settings = Blockwise(blocks=2, block=4)
    with pytest.raises(ConfigError, match="pass the model's context"):
        asked(settings)
    long = [Prompt.of("a" * 100)]
    with pytest.raises(DataError, match="no room for a reply"):
        Blockwise(blocks=2, block=4).build(policy(), reward()).decode(long, seed=SEED)


def test_no_budget_is_refused() -> None:
    for kind, settings in (
        (Beam, {"width": 0}),
        (Beam, {"chunk": 4}),
        (Blockwise, {"block": 0}),
        (BestOfN, {"n": 0}),
        (BestOfN, {"sampling": {"max_new_tokens": 0}}),
    ):
        with pytest.raises(ValueError, match="greater than"):
            kind(**settings)


def test_beams_are_read_anew_by_any_family() -> None:
    padded: Policy = policy("bloom")
    settings = Beam(width=2, expansions=2, sampling=SAMPLING)
    found = settings.build(padded, reward("bloom")).decode(PROMPTS, seed=SEED)
    alone = [
        settings.build(padded, reward("bloom")).decode(PROMPTS[: i + 1], seed=SEED)[i]
        for i in range(2)
    ]
    assert tokens_of(found[:2]) == tokens_of(alone)
