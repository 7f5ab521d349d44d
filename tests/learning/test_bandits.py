"""Every objective on sampled replies must find the better arm of a bandit."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor

from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.data.chat import Item
from fairlead.objectives import OBJECTIVES, Objective, RolloutBatch, Scores
from fairlead.training.credit import AnyCredit, Credit, Sampled

WORTH = torch.tensor([0.0, 0.2, 1.0, 0.2], dtype=torch.float64)
"""What each arm earns; the third is best."""
COST = torch.tensor([-1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
"""What each arm costs, where that is limited: the best arm is the one that is not allowed."""
REPLIES, GROUP, TOKENS = 64, 8, 3
PACKED = pack([Item((1,), ((2,) * TOKENS,))] * REPLIES)
MASK = torch.ones(REPLIES, TOKENS, dtype=torch.bool)

kinds = [k for k, o in OBJECTIVES.items() if o.batch is RolloutBatch]


class Bandit:
    """A policy of a few logits that pulls an arm at every token, and critics that say a number."""

    def __init__(self) -> None:
        self.logits = torch.zeros(len(WORTH), dtype=torch.float64, requires_grad=True)
        self.value = torch.zeros((), dtype=torch.float64, requires_grad=True)
        self.cost_value = torch.zeros((), dtype=torch.float64, requires_grad=True)

    @property
    def arms(self) -> Tensor:
        return self.logits.detach().softmax(0)

    def scores(self, pulls: Tensor) -> Scores:
        logps = self.logits.log_softmax(0)[pulls].flatten()
        return Scores(
            logps=logps,
            entropy=torch.zeros_like(logps).detach(),
            values=self.value.expand_as(logps),
            cost_values=self.cost_value.expand_as(logps),
        )


def pulled(bandit: Bandit, seed: Seed, multiplier: float, chance: bool, kl: float) -> Sampled:
    random = seed.numpy()
    pulls = torch.from_numpy(random.choice(len(WORTH), (REPLIES, TOKENS), p=bandit.arms))
    with torch.no_grad():
        logp = bandit.scores(pulls).logps
    assert logp is not None
    worth = WORTH[pulls].mean(1)
    return Sampled(
        scores=torch.sigmoid(3 * (worth - worth.mean())) if chance else worth,
        mask=MASK,
        logp=logp.view(REPLIES, TOKENS),
        reference=torch.full((REPLIES, TOKENS), 1 / len(WORTH), dtype=torch.float64).log(),
        values=bandit.value.detach().expand(REPLIES, TOKENS),
        token_rewards=torch.zeros(REPLIES, TOKENS, dtype=torch.float64),
        group=torch.arange(REPLIES) // GROUP,
        tokens=pulls,
        cost_values=bandit.cost_value.detach().expand(REPLIES, TOKENS),
        costs=COST[pulls].mean(1),
        kl_coefficient=kl,
        multiplier=multiplier,
    )


def batch_of(sampled: Sampled, credit: Credit) -> RolloutBatch:
    places = torch.arange(REPLIES)[:, None] * TOKENS
    given = {
        "old_logps": sampled.logp,
        "advantages": credit.advantages,
        "returns": credit.returns,
        "old_values": sampled.values,
        "pretraining": ~MASK,
        "reference": sampled.reference,
        "macros": (places if credit.macros is None else places + credit.macros).expand(
            REPLIES, TOKENS
        ),
        "cost_returns": sampled.values if credit.cost_returns is None else credit.cost_returns,
        "old_cost_values": sampled.cost_values,
    }
    return RolloutBatch(
        packed=PACKED, budget=TOKENS, **{name: x.flatten() for name, x in given.items()}
    )


def learn(
    kind: str,
    *,
    batches: int = 25,
    rate: float = 0.1,
    multiplier: float = 0.0,
    kl: float = 0.0,
    **settings: Any,
) -> Bandit:
    """Two updates on each of some rollout batches, with the credit that the objective names."""
    objective: Objective = OBJECTIVES[kind](**settings)
    rule: Any = TypeAdapter(AnyCredit).validate_python(OBJECTIVES[kind].rollouts["credit"])  # pyright: ignore
    bandit = Bandit()
    adam = torch.optim.AdamW(
        [bandit.logits, bandit.value, bandit.cost_value], lr=rate, weight_decay=0.0
    )
    for step in range(batches):
        seed = Seed(0).child("bandit", step)
        sampled = pulled(bandit, seed, multiplier, kind == "nash_md", kl)
        batch = batch_of(sampled, rule(sampled))
        for _ in range(2):
            adam.zero_grad()
            objective(bandit.scores(sampled.tokens), batch, batch.totals()).value.backward()
            adam.step()
    return bandit


@pytest.mark.parametrize("kind", kinds)
def test_finds_the_better_arm(kind: str) -> None:
    arms = learn(kind).arms
    assert arms.argmax() == 2 and arms[2] > 0.8


def test_a_cost_keeps_it_from_the_arm_that_is_not_allowed() -> None:
    assert learn("ppo_lagrangian", multiplier=5.0).arms[2] < 0.1


@pytest.mark.parametrize("kind", ["ppo", "rloo", "reinforce_pp", "macro_ppo", "nash_md"])
def test_a_penalty_in_the_reward_stays_nearer_to_the_reference(kind: str) -> None:
    assert learn(kind, kl=5.0).arms[2] < 0.5


def test_a_penalty_in_the_loss_stays_nearer_to_the_reference() -> None:
    assert learn("grpo", beta=5.0).arms[2] < 0.5


@pytest.mark.parametrize("kind", ["ppo", "rloo", "reinforce_pp"])
def test_comes_to_rest_where_the_theory_says(kind: str) -> None:
    """The best policy under a KL penalty is reference * exp(worth / coefficient), normalised."""
    kl = 0.3
    expected = (WORTH / TOKENS / kl).softmax(0)
    arms = learn(kind, kl=kl, batches=80, rate=0.02).arms
    assert float((arms - expected).abs().max()) < 0.05
