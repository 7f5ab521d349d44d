"""Value models of beginnings."""

import json
from pathlib import Path

import pytest
import torch
from letter_models import PROMPTS, plain, reward_model, score_of, whole_reply
from tests.generation.tiny_policies import EOS, letters

from fairlead.decoding.judging import ValueReward
from fairlead.decoding.value import (
    BellmanValue,
    PrefixValue,
    ValuedItem,
    at_every_token,
    value_batch,
)
from fairlead.objectives import Need, Scores

REFERENCE = Path(__file__).parents[2] / "../shared/reference/reference_values.json"
ITEMS = [
    ValuedItem((1, 5, 6), ((7, 8, 9, EOS),), record=0, reward=0.5),
    ValuedItem((1, 5), ((10,),), record=1, reward=-1.0),
    ValuedItem((1, 4, 4, 4), ((11, 12, EOS),), record=2, reward=2.0),
]


def test_every_token_is_read_as_the_end_of_its_beginning() -> None:
    model = reward_model()
    batch = value_batch(ITEMS)
    assert batch.labels.tolist() == [0.5] * 4 + [-1.0] + [2.0] * 3
    with torch.no_grad():
        values = model(batch.packed, frozenset({Need.REWARDS})).rewards
    twin = plain(model.model)
    expected = [
        score_of(model, twin, (*item.prompt, *item.responses[0][: k + 1]), ended=False)
        for item in ITEMS
        for k in range(len(item.responses[0]))
    ]
    assert values.tolist() == pytest.approx(expected, abs=1e-4)
    assert at_every_token(ITEMS).sequences == 8


def test_a_value_of_a_beginning_is_read_at_its_last_token() -> None:
    model = reward_model()
    twin, source = plain(model.model), ValueReward(model, letters())
    replies = [whole_reply(PROMPTS[0], tokens) for tokens in ((), (4,), (4, 5, EOS))]
    expected = [
        score_of(model, twin, (*r.prompt_ids, *r.response_ids), ended=False) for r in replies
    ]
    assert source.score(replies).values.tolist() == pytest.approx(expected, abs=1e-4)


def test_each_value_is_to_tell_the_next_one() -> None:
    batch = value_batch(ITEMS)
    values = torch.tensor([0.0, 0.2, 0.1, 0.4, -0.5, 1.0, 1.5, 1.0], requires_grad=True)
    loss = BellmanValue()(Scores(rewards=values), batch, batch.totals()).value
    # The last value of a reply is held against its reward: 0.5, -1 and 2.
    errors = torch.tensor([-0.2, 0.1, -0.3, -0.1, 0.5, -0.5, 0.5, -1.0])
    assert loss.item() == pytest.approx(errors.square().mean().item() / 2)
    loss.backward()
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx((errors / 8).tolist())


def test_values_of_a_coin_that_decides_late() -> None:
    # Two tokens, heads or tails, then the reward: 1 for two heads. Sampled tables of values.
    generator = torch.Generator().manual_seed(0)
    flips = torch.randint(0, 2, (2000, 2), generator=generator)
    items = [
        ValuedItem((1,), ((4 + int(a), 4 + int(b)),), record=i, reward=float(a * b))
        for i, (a, b) in enumerate(flips.tolist())
    ]
    batch = value_batch(items)
    state = torch.stack([flips[:, 0], 2 + 2 * flips[:, 0] + flips[:, 1]], 1).flatten()
    for objective in (BellmanValue(), PrefixValue()):
        table = torch.zeros(6, requires_grad=True)
        optimizer = torch.optim.SGD([table], lr=2.0)
        for _ in range(60):
            optimizer.zero_grad()
            loss = objective(Scores(rewards=table[state]), batch, batch.totals()).value
            loss.backward()
            optimizer.step()
        assert table.tolist() == pytest.approx([0, 0.5, 0, 0, 0, 1], abs=0.03)


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference values are not here")
def test_reference_value() -> None:
    case = json.loads(REFERENCE.read_text())["dec.controlled_decoding"]
    mask = torch.tensor(case["inputs"]["mask"]).bool()
    values = torch.tensor(case["inputs"]["prefix_values"])[mask]
    items = [
        ValuedItem((1,), ((4,) * int(own.sum()),), record=i, reward=r)
        for i, (own, r) in enumerate(zip(mask, case["inputs"]["final_reward"], strict=True))
    ]
    batch = value_batch(items)
    loss = PrefixValue()(Scores(rewards=values), batch, batch.totals()).value
    # The paper's mean is over replies.
    per_reply = float(loss) * int(mask.sum()) / len(items)
    assert per_reply == pytest.approx(case["outputs"]["fudge_loss"], abs=1e-5)
