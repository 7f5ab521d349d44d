from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, Reply, Scored
from fairlead.rewards.ensemble import (
    AnyCombination,
    EnsembleReward,
    Heads,
    LowerBound,
    MeanOfMembers,
    VariancePenalised,
    WorstMember,
)
from fairlead.rewards.model import ModelReward
from small_world import comparisons, tiny_reward_model, tokenizer


def reply(text: str, prompt: str = "p") -> Reply:
    return Reply(Prompt.of(prompt), (1,), tuple(range(len(text))), text)


REPLIES = [reply(t, p) for p in ("one", "two") for t in ("a", "bbb", "cc", "ddddd")]


def table_member(scores: list[float], name: str = "member") -> FunctionReward:
    """A member that gives the replies above these scores."""
    known = {(r.prompt.first_user_turn, r.text): s for r, s in zip(REPLIES, scores, strict=True)}
    return FunctionReward(lambda prompt, text: known[prompt.first_user_turn, text], name)


def members(count: int, seed: int = 0, scale: float = 1.0) -> tuple[FunctionReward, ...]:
    random = Seed(seed).numpy()
    return tuple(table_member((scale**i * random.normal(size=8)).tolist()) for i in range(count))


@dataclass(frozen=True)
class TwoHeads:
    """Text length and its opposite from one pass."""

    name: str = "two_heads"

    def score(self, replies: list[Reply]) -> Scored:
        length = torch.tensor([float(len(r.text)) for r in replies])
        return Scored(length, {"long": length, "short": -length})


def test_reference_combinations(reference_value) -> None:
    given, expected = reference_value("rm.ensemble")
    table = given["rewards_members_by_sample"]
    for combine, name in (
        (MeanOfMembers(), "mean"),
        (WorstMember(), "wco"),
        (LowerBound(k=given["k"]), "lcb"),
        (VariancePenalised(coefficient=given["lambda"], unbiased=False), "uwo_population"),
        (VariancePenalised(coefficient=given["lambda"]), "uwo_unbiased"),
    ):
        torch.testing.assert_close(combine(table), expected[name], rtol=1e-8, atol=1e-9)


def test_worked_by_hand() -> None:
    first = table_member([1, 2, 3, 4, 0, 0, 0, 0])
    second = table_member([3, 2, 1, 4, 5, 1, 1, 1])
    scored = EnsembleReward((first, second)).score(REPLIES)
    assert scored.values.tolist() == [1, 2, 1, 4, 0, 0, 0, 0]
    assert scored.parts["spread"][0].item() == pytest.approx(2**0.5)
    assert scored.parts["lowest_0"].tolist() == [1, 1, 0, 1, 1, 1, 1, 1]
    assert scored.parts["lowest_1"].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    # Of the first prompt's replies the first three are turned round between the two members.
    assert scored.parts["disagreement"].tolist() == pytest.approx(
        [2 / 3, 2 / 3, 2 / 3, 0, 0.5, 1 / 6, 1 / 6, 1 / 6]
    )
    assert scored.parts["member_1"].tolist() == [3, 2, 1, 4, 5, 1, 1, 1]


@pytest.mark.parametrize(
    "combine", [MeanOfMembers(), WorstMember(), LowerBound(k=2), VariancePenalised(coefficient=2)]
)
def test_one_member_is_the_ensemble(combine) -> None:
    (member,) = members(1)
    scored = EnsembleReward((member,), combine).score(REPLIES)
    assert torch.equal(scored.values, member.score(REPLIES).values)
    assert scored.parts["spread"].tolist() == [0.0] * 8


@given(count=st.integers(1, 4), seed=st.integers(0, 50))
def test_members_come_to_one_scale_and_only_once(count: int, seed: int) -> None:
    wide = members(count, seed, scale=30.0)
    ensemble = EnsembleReward.normalised(wide, REPLIES, combine=MeanOfMembers())
    table = ensemble.member_scores(REPLIES)
    torch.testing.assert_close(table.mean(1), torch.zeros(count), rtol=0, atol=1e-5)
    torch.testing.assert_close(table.std(1, correction=0), torch.ones(count))
    shares = torch.stack([ensemble.score(REPLIES).parts[f"lowest_{i}"] for i in range(count)])
    assert shares.sum(0).tolist() == [1.0] * 8

    def scaled(number: int) -> FunctionReward:
        return table_member(table[number].tolist())

    again = EnsembleReward.normalised(tuple(map(scaled, range(count))), REPLIES)
    for change in again.scales:
        assert (change.gain, change.bias) == pytest.approx((1.0, 0.0), abs=1e-5)


def test_a_wide_member_does_not_rule_once_normalised() -> None:
    narrow, wide = members(2, scale=1000.0)
    raw = EnsembleReward((narrow, wide)).score(REPLIES)
    lowest = raw.parts["lowest_1"].bool()
    assert bool((raw.values[lowest] < -10).all()) and bool((raw.values[~lowest] > -10).all())
    even = EnsembleReward.normalised((narrow, wide), REPLIES).score(REPLIES)
    assert float(even.values.abs().max()) < 4
    with pytest.raises(DataError, match="no scale"):
        EnsembleReward.normalised((narrow, table_member([1.0] * 8)), REPLIES)


def test_heads_on_one_trunk_are_members() -> None:
    (other,) = members(1)
    ensemble = EnsembleReward((Heads(TwoHeads(), ("long", "short")), other), MeanOfMembers())
    table = ensemble.member_scores(REPLIES)
    assert table.shape == (3, 8) and torch.equal(table[0], -table[1])
    torch.testing.assert_close(ensemble.score(REPLIES).values, other.score(REPLIES).values / 3)
    with pytest.raises(ConfigError, match="no such head"):
        EnsembleReward((Heads(TwoHeads(), ("long", "wide")),)).score(REPLIES)


def test_models_of_three_seeds() -> None:
    chat = ChatFormat(tokenizer())
    replies = []
    for record in comparisons(6):
        for text in (record.chosen, record.rejected):
            prompt, ids = chat.response_ids(record.prompt, text)
            replies.append(Reply(record.prompt, prompt, ids, text))
    models = tuple(ModelReward(tiny_reward_model(seed), tokenizer()) for seed in range(3))
    ensemble = EnsembleReward.normalised(models, replies)
    scored = ensemble.score(replies)
    rows = [model.score(replies).values for model in models]
    by_hand = torch.stack([(r - r.mean()) / r.std(correction=0) for r in rows]).amin(0)
    torch.testing.assert_close(scored.values, by_hand, rtol=1e-4, atol=1e-4)
    assert scored.values.dtype == torch.float32
    assert 0 < scored.parts["disagreement"].mean().item() < 1


def test_settings_from_a_recipe() -> None:
    reader = TypeAdapter(AnyCombination)
    assert reader.validate_python({"kind": "lower_bound", "k": 2.0}) == LowerBound(k=2.0)
    assert reader.validate_python({"kind": "variance_penalised"}).coefficient == 0.1
    for wrong in ({"kind": "best"}, {"kind": "worst", "k": 1}, {"kind": "lower_bound", "k": -1}):
        with pytest.raises(ValidationError):
            reader.validate_python(wrong)


@dataclass(frozen=True)
class Odd:
    """A source that gives more than a score per reply."""

    advantages: bool = False
    name: str = "odd"

    def score(self, replies: list[Reply]) -> Scored:
        rewards = tuple(torch.ones(len(r.response_ids)) for r in replies)
        return Scored(torch.zeros(len(replies)), token_rewards=rewards, advantages=self.advantages)


def test_what_cannot_be_combined_is_refused() -> None:
    with pytest.raises(ConfigError, match="without members"):
        EnsembleReward(())
    with pytest.raises(ConfigError, match="single tokens"):
        EnsembleReward((Odd(),)).score(REPLIES)
    with pytest.raises(ConfigError, match="gives advantages"):
        EnsembleReward((Odd(advantages=True),)).score(REPLIES)
