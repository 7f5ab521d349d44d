import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st

from fairlead.core.seeds import Seed
from fairlead.functional.advantages import generalised_advantages
from fairlead.functional.macros import (
    drawn_starts,
    macro_advantages,
    macro_sums,
    macro_values,
    ngram_starts,
    numbered,
    over_tokens,
    rising_perplexity_starts,
    starts_after,
)

CLOSE: dict[str, float] = {"rtol": 1e-8, "atol": 1e-9}


def test_reference_values(reference_value) -> None:
    given, expected = reference_value("rl.macro_action")
    mask = torch.ones(1, 8, dtype=torch.bool)
    rewards, values = given["rewards"][None], given["values"][None]
    starts = ngram_starts(mask, given["n"])
    assert [*starts[0].nonzero().flatten().tolist(), 8] == expected["boundaries"].tolist()
    macros = numbered(starts)
    summed = macro_sums(rewards, mask, macros)[0]
    torch.testing.assert_close(summed, expected["macro_rewards"], **CLOSE)
    averaged = macro_values(values, mask, macros)[0]
    torch.testing.assert_close(averaged, expected["macro_values"], **CLOSE)
    credit = macro_advantages(rewards, values, mask, macros, gamma=given["gamma"], lam=given["lam"])
    torch.testing.assert_close(credit.advantages[0], expected["macro_advantages"], **CLOSE)
    torch.testing.assert_close(credit.returns[0], expected["macro_returns"], **CLOSE)
    rising = rising_perplexity_starts(given["logp_old"][None], mask)[0]
    wanted = expected["ppl_rule_starts_from_logp_old"].tolist()
    assert rising.nonzero().flatten().tolist() == wanted


def test_weights_of_values_worked_by_hand() -> None:
    mask = torch.tensor([[True] * 4 + [False]])
    macros = torch.tensor([[0, 0, 0, 1, 1]])
    values = torch.tensor([[6.0, 3.0, 12.0, 5.0, 99.0]])
    assert macro_values(values, mask, macros, "equal").tolist() == [[7.0, 5.0]]
    assert macro_values(values, mask, macros, "unit").tolist() == [[12.0, 5.0]]
    # (6 + 3/2 + 12/3) / (1 + 1/2 + 1/3) = 11.5 / (11/6)
    position = macro_values(values, mask, macros, "position")
    assert position.tolist() == [pytest.approx([69 / 11, 5.0])]


@drawn(seed=st.integers(0, 999), length=st.integers(1, 7))
def test_macros_of_one_token_are_token_credit_exactly(seed: int, length: int) -> None:
    random = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, 3, length, generator=random)
    mask = torch.arange(length) < torch.randint(1, length + 1, (3, 1), generator=random)
    macros = numbered(ngram_starts(mask, 1))
    traces = {"gamma": 0.9, "lam": 0.8}
    advantages, returns = generalised_advantages(rewards, values, mask, **traces)
    for weights in ("equal", "unit", "position"):
        credit = macro_advantages(rewards, values, mask, macros, weights=weights, **traces)
        assert torch.equal(over_tokens(credit.advantages, mask, macros), advantages)
        spread = over_tokens(credit.returns, mask, macros)
        assert torch.equal(spread, torch.where(mask, returns, 0.0))


def test_one_macro_for_the_whole_reply_is_its_score_less_its_value() -> None:
    mask = torch.tensor([[True, True, True], [True, False, False]])
    macros = numbered(ngram_starts(mask, 99))
    rewards = torch.tensor([[1.0, 0.5, 2.0], [4.0, 9.0, 9.0]])
    values = torch.tensor([[1.0, 2.0, 3.0], [0.5, 9.0, 9.0]])
    credit = macro_advantages(rewards, values, mask, macros, gamma=1.0, lam=0.95)
    assert credit.advantages.tolist() == [[1.5], [3.5]]
    assert credit.returns.tolist() == [[3.5], [4.0]]


def test_macros_end_with_given_tokens() -> None:
    tokens = torch.tensor([[5, 7, 5, 5, 7], [7, 7, 5, 0, 0]])
    mask = torch.arange(5) < torch.tensor([[5], [3]])
    starts = starts_after(tokens, mask, (7,))
    assert starts.int().tolist() == [[1, 0, 1, 0, 0], [1, 1, 1, 0, 0]]
    assert numbered(starts).tolist() == [[0, 0, 1, 1, 1], [0, 1, 2, 2, 2]]


def test_drawn_macros_use_every_size_and_leave_the_rest_whole() -> None:
    random = Seed(0).numpy()
    starts = drawn_starts(40, (1, 2, 3), 2, random).nonzero().flatten().tolist()
    lengths = [b - a for a, b in zip(starts, [*starts[1:], 40], strict=True)]
    assert sorted(lengths[:-1]) == [1, 1, 2, 2, 3, 3] and lengths[-1] == 28
    assert drawn_starts(1, (5,), 1, random).tolist() == [True]
