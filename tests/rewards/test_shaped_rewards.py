from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.functional.length_bias import pearson
from fairlead.functional.shaping import Affine
from fairlead.generation.local import LocalEngine
from fairlead.generation.sampling import Sampling
from fairlead.records import Problem, Prompt
from fairlead.rewards.base import FunctionReward, Reply, Scored
from fairlead.rewards.references import ReferenceScores, reference_scores, sample_replies
from fairlead.rewards.shaping import (
    Centred,
    Clipped,
    LengthDebiased,
    LengthPenalty,
    Normalised,
    ParReward,
    SigmoidCentred,
    Tanh,
    Term,
    Weighted,
)
from small_world import prompt_ids, prompts, tiny_policy, tokenizer

NUMBER = FunctionReward(lambda _, text: float(text), "number")


def reply(value: float, *, prompt: str = "p", tokens: int = 3) -> Reply:
    """A reply that `NUMBER` scores as `value`."""
    return Reply(Prompt.of(prompt), (1,), tuple(range(tokens)), repr(value))


@dataclass(frozen=True)
class Talkative:
    """A source that says all that a source can say."""

    name: str = "talkative"
    advantages: bool = False

    def score(self, replies: list[Reply]) -> Scored:
        values = torch.tensor([float(r.text) for r in replies])
        rewards = tuple(torch.arange(float(len(r.response_ids))) for r in replies)
        reasons = tuple(f"because {r.text}" for r in replies)
        return Scored(values, {"half": values / 2}, reasons, rewards, self.advantages)


def test_reference_values_of_par(reference_value) -> None:
    given, expected = reference_value("rm.par")
    asked = [f"prompt {i}" for i in range(len(given["reward"]))]
    replies = [reply(r, prompt=p) for r, p in zip(given["reward"].tolist(), asked, strict=True)]
    known = {Prompt.of(p): s for p, s in zip(asked, given["ref_rewards"].tolist(), strict=True)}
    for kind, name in (
        (ParReward, "par"),
        (Centred, "centered"),
        (SigmoidCentred, "par_of_mean_ref"),
    ):
        scored = kind(NUMBER, ReferenceScores(known)).score(replies)
        torch.testing.assert_close(scored.values, expected[name].float(), rtol=1e-6, atol=1e-6)
        before = scored.parts[f"before_{kind.kind}"]
        torch.testing.assert_close(before, given["reward"].float())


@given(value=st.floats(-9, 9), m=st.integers(1, 6), k=st.floats(0.1, 4))
def test_par_is_one_half_at_the_references(value: float, m: int, k: float) -> None:
    known = ReferenceScores({Prompt.of("p"): [value] * m})
    source = ParReward(NUMBER, known, k=k)
    below, at, above = source.score([reply(value + d) for d in (-1, 0, 1)]).values.tolist()
    assert at == pytest.approx(0.5, abs=1e-5)
    assert below < at < above


def test_references_are_asked_for_once() -> None:
    asked: Counter[str] = Counter()

    def scores(prompt: Prompt) -> list[float]:
        asked[prompt.first_user_turn] += 1
        return [0.0, 1.0]

    source = ParReward(NUMBER, ReferenceScores(scores))
    for _ in range(3):
        source.score([reply(1.0, prompt=p) for p in ("a", "b", "a")])
    assert asked == {"a": 1, "b": 1}


def test_prompts_may_have_different_numbers_of_references() -> None:
    known = ReferenceScores({Prompt.of("a"): [0.0], Prompt.of("b"): [1.0, 3.0]})
    got = Centred(NUMBER, known).score([reply(5.0, prompt="a"), reply(5.0, prompt="b")])
    assert got.values.tolist() == [5.0, 3.0]


def test_a_prompt_without_references_is_refused() -> None:
    with pytest.raises(DataError, match="without scores"):
        ParReward(NUMBER, ReferenceScores({})).score([reply(1.0)])


def test_penalty_before_the_sigmoid() -> None:
    known = ReferenceScores({Prompt.of("p"): [0.0]})
    source = ParReward(LengthPenalty(NUMBER, cost=0.5, start=3), known)
    scored = source.score([reply(1.0, tokens=3), reply(1.0, tokens=7)])
    assert scored.parts["before_par"].tolist() == [1.0, -1.0]
    assert scored.values.tolist() == pytest.approx([0.731059, 0.268941], abs=1e-5)
    assert source.name == "par of length_penalty of number"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Normalised(NUMBER, Affine(2.0, 1.0)), [-5.0, 1.0, 9.0]),
        (Clipped(NUMBER, -1.0, 2.0), [-1.0, 0.0, 2.0]),
        (Tanh(NUMBER, scale=2.0), [-1.810297, 0.0, 1.928055]),
        (LengthPenalty(NUMBER, cost=0.25, start=1), [-3.5, -0.5, 3.5]),
    ],
)
def test_worked_by_hand(source, expected: list[float]) -> None:
    replies = [reply(-3.0), reply(0.0), reply(4.0)]
    assert source.score(replies).values.tolist() == pytest.approx(expected, abs=1e-5)


@given(values=st.lists(st.floats(-50, 50), min_size=3, max_size=20, unique=True))
def test_normalised_twice_is_normalised_once(values: list[float]) -> None:
    values = [*values, max(values) + 1]
    replies = [reply(value) for value in values]
    once = Normalised.on(NUMBER, replies)
    scores = once.score(replies).values
    assert scores.mean().item() == pytest.approx(0.0, abs=1e-4)
    assert scores.std(correction=0).item() == pytest.approx(1.0, abs=1e-4)
    twice = Normalised.on(once, replies)
    assert (twice.change.gain, twice.change.bias) == pytest.approx((1.0, 0.0), abs=1e-4)
    shifted = Normalised.on(NUMBER, replies, std=None)
    assert shifted.change.gain == 1.0
    assert shifted.score(replies).values.mean().item() == pytest.approx(0.0, abs=1e-4)


def test_clipped_at_deviations_of_the_reference() -> None:
    source = Clipped.on(NUMBER, [reply(1.0), reply(3.0)], deviations=2.0)
    assert (source.low, source.high) == (0.0, 4.0)
    with pytest.raises(ConfigError, match="no room"):
        Clipped(NUMBER, 1.0, 1.0)


@given(seed=st.integers(0, 99), slope=st.floats(-0.5, 0.5))
def test_nothing_of_length_is_left_on_the_replies_fitted(seed: int, slope: float) -> None:
    random = Seed(seed).numpy()
    tokens = random.permutation(40)[:20] + 1
    values = slope * tokens + random.normal(size=20)
    replies = [reply(float(v), tokens=int(n)) for v, n in zip(values, tokens, strict=True)]
    source = LengthDebiased.on(NUMBER, replies)
    scored = source.score(replies)
    lengths = torch.tensor(tokens, dtype=torch.float32)
    assert pearson(scored.values, lengths) == pytest.approx(0.0, abs=1e-4)
    assert scored.values.mean().item() == pytest.approx(values.mean(), abs=1e-4)
    # A reply of the same worth, ten tokens longer, gains nothing.
    short, long = (reply(slope * n, tokens=n) for n in (10, 20))
    gained = source.score([long]).values - source.score([short]).values
    assert gained.item() == pytest.approx(10 * (slope - source.fit.slope), abs=1e-4)


def test_a_weighted_sum_names_its_parts() -> None:
    known = ReferenceScores({Prompt.of("p"): [0.0]})
    source = Weighted(
        (
            Term("right", Talkative(), 2.0),
            Term("format", NUMBER, -0.5),
            Term("par", ParReward(Talkative(), known)),
        )
    )
    replies = [reply(1.0, tokens=2), reply(0.0, tokens=3)]
    scored = source.score(replies)
    assert scored.values.tolist() == pytest.approx([2 - 0.5 + 0.731059, 0.5], abs=1e-5)
    assert set(scored.parts) == {
        "right", "format", "par", "right/half", "par/half", "par/before_par"
    }  # fmt: skip
    assert scored.parts["right/half"].tolist() == [0.5, 0.0]
    assert scored.reasons == ("right:because 1.0; par:because 1.0",
                              "right:because 0.0; par:because 0.0")  # fmt: skip
    assert [row.tolist() for row in scored.token_rewards] == [[0.0, 3.0], [0.0, 3.0, 6.0]]
    plain = Weighted((Term("a", NUMBER),)).score(replies)
    assert plain.reasons == () and plain.token_rewards == ()
    for terms in ((), (Term("a", NUMBER), Term("a", NUMBER))):
        with pytest.raises(ConfigError, match="names of their own"):
            Weighted(terms)


def test_what_else_a_source_says_is_kept() -> None:
    replies = [reply(9.0), reply(-9.0)]
    scored = Clipped(Talkative(), -1.0, 1.0).score(replies)
    assert scored.values.tolist() == [1.0, -1.0]
    assert scored.parts["half"].tolist() == [4.5, -4.5]
    assert scored.parts["before_clipped"].tolist() == [9.0, -9.0]
    assert scored.reasons == ("because 9.0", "because -9.0")
    assert scored.token_rewards[0].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ConfigError, match="gives advantages"):
        Tanh(Talkative(advantages=True)).score(replies)


def test_references_sampled_from_a_policy() -> None:
    asked = prompts(4)
    records = [asked[0], *(Problem(prompt=p, answer="7") for p in asked[1:])]
    tokens = FunctionReward(lambda _, text: float(len(text.split())), "words")
    chat, sampling = ChatFormat(tokenizer()), Sampling(max_new_tokens=6)
    given = {"sampling": sampling, "count": 3, "seed": Seed(1)}
    engine = LocalEngine(tiny_policy())
    replies = sample_replies(engine, prompt_ids(asked), records, chat, **given)
    assert len(replies) == 12 and replies[0].problem is None
    assert replies[-1].problem == records[-1]
    known = reference_scores(engine, tokens, prompt_ids(asked), records, chat, **given)
    for i, prompt in enumerate(asked):
        own = replies[3 * i : 3 * i + 3]
        assert list(known.of(prompt)) == tokens.score(own).values.tolist()
    centred = Centred(tokens, known).score(replies).values
    torch.testing.assert_close(centred.reshape(4, 3).sum(1), torch.zeros(4), atol=1e-5, rtol=0)
