import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.functional.advantages import generalised_advantages, shaped_rewards
from fairlead.functional.reductions import whiten
from fairlead.objectives import OBJECTIVES, RolloutBatch
from fairlead.training.credit import (
    GAE,
    AnyCredit,
    AsScored,
    AtTokens,
    ConstrainedGAE,
    Credit,
    CreditRule,
    Group,
    LeaveOneOut,
    MacroGAE,
    NashMD,
    NGram,
    Perplexity,
    RandomNGram,
    ReinforcePP,
    ReinforcePPBaseline,
    Sampled,
)

RULES: tuple[type[CreditRule], ...] = get_args(get_args(AnyCredit)[0])
ANY = TypeAdapter[Any](AnyCredit)
EXACT: dict[str, float] = {"rtol": 1e-12, "atol": 1e-12}
CLOSE: dict[str, float] = {"rtol": 1e-8, "atol": 1e-9}

every_rule = pytest.mark.parametrize("rule", RULES, ids=[r.__name__ for r in RULES])


def sampled(seed: int = 0, *, prompts: int = 3, samples: int = 2, length: int = 5) -> Sampled:
    """Random replies, at least one token each, with everything that a rule could ask for."""
    random = Seed(seed).child("sampled").numpy()
    replies = prompts * samples

    def table(*size: int) -> Tensor:
        return torch.from_numpy(random.normal(0.0, 1.0, size))

    logp = -table(replies, length).abs()
    lengths = torch.from_numpy(random.integers(1, length + 1, (replies, 1)))
    return Sampled(
        scores=table(replies),
        mask=torch.arange(length) < lengths,
        logp=logp,
        reference=logp + 0.3 * table(replies, length),
        values=table(replies, length),
        token_rewards=torch.zeros(replies, length, dtype=torch.float64),
        group=torch.arange(prompts).repeat_interleave(samples),
        tokens=torch.from_numpy(random.integers(0, 9, (replies, length))),
        cost_values=table(replies, length),
        costs=table(replies),
        kl_coefficient=0.1,
        multiplier=0.7,
    )


def of_lists(scores: list[float], mask: Tensor, **given: Any) -> Sampled:
    zeros = torch.zeros(mask.shape, dtype=torch.float64)
    base = Sampled(
        scores=torch.tensor(scores, dtype=torch.float64),
        mask=mask,
        logp=zeros,
        reference=zeros,
        values=zeros,
        token_rewards=zeros,
        group=torch.zeros(len(scores)).long(),
        tokens=zeros.long(),
    )
    return replace(base, **given)


def tables(credit: Credit) -> dict[str, Tensor]:
    made = {"advantages": credit.advantages, "returns": credit.returns}
    return made | ({} if credit.cost_returns is None else {"costs": credit.cost_returns})


@every_rule
@drawn(seed=st.integers(0, 999))
def test_what_lies_behind_a_reply_neither_counts_nor_is_credited(
    rule: type[CreditRule], seed: int
) -> None:
    one = sampled(seed)
    spoiled = replace(
        one,
        **{
            name: torch.where(one.mask, getattr(one, name), 77.0)
            for name in ("logp", "reference", "values", "cost_values", "token_rewards")
        },
    )
    credit = rule()(one)
    for name, table in tables(credit).items():
        assert table[~one.mask].count_nonzero() == 0, name
        assert torch.equal(table, tables(rule()(spoiled))[name]), name


@every_rule
@drawn(seed=st.integers(0, 999), order=st.permutations(range(6)))
def test_the_order_of_replies_does_not_matter(
    rule: type[CreditRule], seed: int, order: list[int]
) -> None:
    one = sampled(seed)
    per_reply = {
        name: x[order] for name, x in vars(one).items() if isinstance(x, Tensor) and len(x) == 6
    }
    moved = rule()(replace(one, **per_reply))
    for name, table in tables(rule()(one)).items():
        torch.testing.assert_close(tables(moved)[name], table[order], **EXACT)


class Halves:
    """Adds tensors over two processes that each run in turn, by replaying what the other gave."""

    def __init__(self, rule: CreditRule, parts: list[Sampled]) -> None:
        self.sums: list[Tensor] = []
        while True:  # every round learns one more sum
            given: list[list[Tensor]] = []
            self.credits: list[Credit] = []
            for part in parts:
                own: list[Tensor] = []
                self.credits.append(rule(replace(part, over_ranks=self._adder(own))))
                given.append(own)
            if len(self.sums) == len(given[0]):
                return
            place = len(self.sums)
            self.sums.append(given[0][place] + given[1][place])

    def _adder(self, own: list[Tensor]) -> Any:
        known: Iterator[Tensor] = iter(self.sums)

        def add(x: Tensor) -> Tensor:
            own.append(x)
            return next(known, x)

        return add


@every_rule
def test_two_processes_credit_as_one(rule: type[CreditRule]) -> None:
    whole = sampled(3, prompts=4)
    halved = [
        {n: x[own] for n, x in vars(whole).items() if isinstance(x, Tensor)}
        for own in (slice(0, 4), slice(4, 8))
    ]
    parts = [replace(whole, **(one | {"group": whole.group[:4]})) for one in halved]
    halves = Halves(rule(), parts)
    for name, table in tables(rule()(whole)).items():
        joined = torch.cat([tables(credit)[name] for credit in halves.credits])
        torch.testing.assert_close(joined, table, **CLOSE)


@every_rule
def test_settings_survive_the_way_through_a_recipe(rule: type[CreditRule]) -> None:
    value: Any = rule()
    assert ANY.validate_python({"kind": value.kind}) == value
    assert ANY.validate_json(ANY.dump_json(value)) == value
    with pytest.raises(ValidationError, match="extra_forbidden"):
        ANY.validate_python({"kind": value.kind, "no_such_setting": 1})


@pytest.mark.parametrize("kind", [k for k, o in OBJECTIVES.items() if o.batch is RolloutBatch])
def test_every_rollout_objective_names_its_credit(kind: str) -> None:
    objective: Any = OBJECTIVES[kind]
    rule = ANY.validate_python(objective.rollouts["credit"])
    assert rule.needs <= objective.needs


@drawn(seed=st.integers(0, 999), whitened=st.booleans(), scaled=st.booleans())
def test_gae_is_rewards_then_estimation_then_whitening(
    seed: int, whitened: bool, scaled: bool
) -> None:
    one = sampled(seed)
    rewards = shaped_rewards(one.scores, one.logp, one.reference, one.mask, kl_coefficient=0.1)
    if scaled:
        rewards = whiten(rewards, one.mask, shift_mean=False)
    advantages, returns = generalised_advantages(rewards, one.values, one.mask, gamma=1.0, lam=0.95)
    if whitened:
        advantages = whiten(advantages, one.mask)
    credit = GAE(whiten=whitened, whiten_rewards=scaled)(one)
    assert torch.equal(credit.advantages, advantages)
    assert torch.equal(credit.returns, returns * one.mask)


def test_token_rewards_add_to_the_score() -> None:
    mask = torch.tensor([[True, True, False]])
    rewards = torch.tensor([[0.5, 1.0, 9.0]]).double()
    credit = GAE(whiten=False, lam=1.0)(of_lists([2.0], mask, token_rewards=rewards))
    assert credit.advantages.tolist() == [[3.5, 3.0, 0.0]]


@drawn(seed=st.integers(0, 999), whitened=st.booleans())
def test_macros_of_one_token_are_gae_exactly(seed: int, whitened: bool) -> None:
    one = sampled(seed)
    macro = MacroGAE(boundaries=NGram(n=1), whiten=whitened)(one)
    token = GAE(whiten=whitened)(one)
    assert torch.equal(macro.advantages, token.advantages)
    assert torch.equal(macro.returns, token.returns)
    assert macro.macros is not None
    assert torch.equal(macro.macros[one.mask], torch.arange(5).expand(6, 5)[one.mask])


def test_macro_credit_of_the_reference(reference_value) -> None:
    given, expected = reference_value("rl.macro_action")
    mask = torch.ones(1, 8, dtype=torch.bool)
    one = of_lists([0.0], mask, token_rewards=given["rewards"][None], values=given["values"][None])
    credit = MacroGAE(boundaries=NGram(n=3), whiten=False)(one)
    at = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
    torch.testing.assert_close(credit.advantages[0], expected["macro_advantages"][at], **CLOSE)
    torch.testing.assert_close(credit.returns[0], expected["macro_returns"][at], **CLOSE)
    assert credit.macros is not None and credit.macros[0].tolist() == at.tolist()
    assert credit.metrics["rollout/macro_length"].value == pytest.approx(8 / 3)


def test_boundaries_may_be_a_function() -> None:
    one = sampled(1)
    rule = MacroGAE(boundaries=lambda s: s.mask & (torch.arange(5) == 0))
    whole = rule(one)
    assert torch.equal(whole.advantages, MacroGAE(boundaries=NGram(n=99))(one).advantages)
    assert "<lambda>" in json.loads(rule.model_dump_json())["boundaries"]


@pytest.mark.parametrize("boundaries", [RandomNGram(), Perplexity(), AtTokens(tokens=(1, 2, 3))])
def test_every_reply_is_cut_by_itself(boundaries: Any) -> None:
    one = sampled(2, length=30)
    macros = MacroGAE(boundaries=boundaries)(one).macros
    assert macros is not None
    for row, length in enumerate(one.mask.sum(1).tolist()):
        own = macros[row, :length]
        assert own[0] == 0 and set(own.diff().tolist()) <= {0, 1}
        alone = replace(one, **{n: x[[row]] for n, x in vars(one).items() if isinstance(x, Tensor)})
        again = MacroGAE(boundaries=boundaries)(alone).macros
        assert again is not None and torch.equal(again[0, :length], own)


def test_leave_one_out_takes_the_kl_before_the_baseline(reference_value) -> None:
    given, expected = reference_value("rl.rloo")
    mask = torch.ones(8, 1, dtype=torch.bool)
    one = of_lists(
        given["rewards"].flatten().tolist(),
        mask,
        logp=given["seq_kl"].reshape(8, 1),
        group=torch.arange(2).repeat_interleave(4),
        kl_coefficient=given["beta"],
    )
    credit = LeaveOneOut()(one)
    torch.testing.assert_close(
        credit.advantages.view(2, 4), expected["advantages_with_kl"], **CLOSE
    )
    scaled = LeaveOneOut(normalise=True)(one).advantages
    ratio = credit.advantages / scaled
    torch.testing.assert_close(ratio, (credit.advantages.std() + 1e-4).expand(8, 1), **CLOSE)


def test_reinforce_pp_of_the_reference(reference_value) -> None:
    given, expected = reference_value("rl.reinforce_pp")
    one = of_lists(
        given["score"].tolist(),
        given["mask"].bool(),
        logp=given["logp"],
        reference=given["ref_logp"],
        group=torch.tensor([0, 0, 1, 1]),
        kl_coefficient=given["kl_coef"],
    )
    credit = ReinforcePP()(one)
    torch.testing.assert_close(credit.returns, expected["returns"], **CLOSE)
    torch.testing.assert_close(credit.advantages, expected["advantages_openrlhf"], **CLOSE)
    baseline = ReinforcePPBaseline()(replace(one, kl_coefficient=0.0))
    torch.testing.assert_close(baseline.returns[:, 0], expected["baseline_group_centered"], **CLOSE)
    wanted = expected["baseline_variant_normalised"]
    torch.testing.assert_close(baseline.advantages, wanted, **CLOSE)


def test_group_credit_and_its_metrics(reference_value) -> None:
    given, expected = reference_value("rl.grpo_advantages")
    one = of_lists(
        given["rewards"].flatten().tolist(),
        torch.ones(12, 2, dtype=torch.bool),
        group=torch.arange(3).repeat_interleave(4),
    )
    credit = Group()(one)
    wanted = expected["unbiased_std_eps1e4"].flatten()
    torch.testing.assert_close(credit.advantages, wanted[:, None].expand(12, 2), **CLOSE)
    metrics = {name: mean.value for name, mean in credit.metrics.items()}
    assert metrics["reward/zero_std_groups"] == pytest.approx(expected["frac_zero_std"])
    assert metrics["policy/advantage_std"] == pytest.approx(wanted.std().item())


def test_steps_are_credited_to_all_that_led_to_them() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    rewards = torch.tensor([[0.0, 1.0, 0.0], [0.0, 3.0, 2.0]]).double()
    # Judged: 1 | 3, 2. Mean 2, deviation 1.
    credit = Group(epsilon=1e-12)(of_lists([0.0, 0.0], mask, token_rewards=rewards))
    expected = torch.tensor([[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0]]).double()
    torch.testing.assert_close(credit.advantages, expected, **CLOSE)
    # A step judged 0 counts where it is said to be one: 1, 0 | 3, 2 have the mean 1.5.
    steps = torch.tensor([[False, True, True], [False, True, True]])
    credit = Group(scale="none")(of_lists([0.0, 0.0], mask, token_rewards=rewards, steps=steps))
    assert credit.advantages.tolist() == [[-2.0, -2.0, -1.5], [2.0, 2.0, 0.5]]
    # Outcomes add to them.
    both = Group(scale="none")(of_lists([1.0, 0.0], mask, token_rewards=rewards, steps=steps))
    outcome = torch.tensor([[0.5], [-0.5]]).double()
    torch.testing.assert_close(both.advantages, credit.advantages + outcome, **EXACT)


@drawn(seed=st.integers(0, 999), multiplier=st.floats(0, 5))
def test_the_joint_advantage_has_the_kl_once_whatever_the_multiplier(
    seed: int, multiplier: float
) -> None:
    one = replace(sampled(seed), multiplier=multiplier)
    rule = ConstrainedGAE(whiten=False, lam=1.0)
    penalty = rule(replace(one, kl_coefficient=0.0)).advantages - rule(one).advantages
    kl_to_go = one.log_ratio.flip(1).cumsum(1).flip(1)
    expected = torch.where(one.mask, 0.1 * kl_to_go, 0.0)
    torch.testing.assert_close(penalty, expected, rtol=1e-9, atol=1e-9)


def test_constrained_credit_worked_by_hand() -> None:
    # lam 1 and no values: advantages are sums to come. Reward 4, cost 2, multiplier 3.
    mask = torch.tensor([[True, True]])
    costs = {"costs": torch.tensor([2.0]).double(), "cost_values": torch.zeros(1, 2).double()}
    one = of_lists([4.0], mask, multiplier=3.0, **costs)
    credit = ConstrainedGAE(whiten=False, lam=1.0)(one)
    assert credit.advantages.tolist() == [[(4 - 3 * 2) / 4] * 2]
    assert credit.returns.tolist() == [[4.0, 4.0]]
    assert credit.cost_returns is not None and credit.cost_returns.tolist() == [[2.0, 2.0]]


def test_costs_are_asked_for() -> None:
    with pytest.raises(ConfigError, match="costs"):
        ConstrainedGAE()(replace(sampled(), costs=None))


@pytest.mark.parametrize("rule", [Group(), LeaveOneOut(), ReinforcePPBaseline()])
def test_one_reply_per_prompt_cannot_be_held_against_others(rule: CreditRule) -> None:
    with pytest.raises(ConfigError, match="one reply"):
        rule(sampled(samples=1))


def test_scores_that_are_advantages_are_only_spread() -> None:
    one = replace(sampled(4), kl_coefficient=0.0)
    credit = AsScored()(one)
    assert torch.equal(credit.advantages, torch.where(one.mask, one.scores[:, None], 0.0))
    shifted = NashMD()(replace(one, scores=one.scores + 0.5))
    torch.testing.assert_close(shifted.advantages, credit.advantages, **EXACT)


@every_rule
def test_scores_may_be_more_precise_than_log_probabilities(rule: type[CreditRule]) -> None:
    one = sampled(5)
    tables32 = {
        name: x.float()
        for name, x in vars(one).items()
        if isinstance(x, Tensor) and x.is_floating_point() and name != "scores"
    }
    credit = rule()(replace(one, **tables32))
    torch.testing.assert_close(
        credit.advantages.double(), rule()(one).advantages, rtol=1e-4, atol=1e-5
    )
