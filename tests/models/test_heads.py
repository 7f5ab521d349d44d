"""Every head: what it gives, that it is saved with its settings, and that it can be trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import PAIRS, bert, letters, llama, make
from torch import nn

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.batches import pack
from fairlead.models.heads import (
    HEADS,
    AnyHead,
    Dimensions,
    Ensemble,
    Latent,
    Preference,
    QualityLength,
    Scalar,
    Steps,
)
from fairlead.models.loading import (
    load_policy,
    load_reward_model,
    new_reward_model,
    restore,
    save_policy,
    save_reward_model,
)
from fairlead.models.policy import Policy
from fairlead.models.reward_model import RewardModel
from fairlead.objectives import OBJECTIVES, Need, Scores

SETTINGS: dict[str, AnyHead] = {
    "scalar": Scalar(),
    "ensemble": Ensemble(members=3),
    "latent": Latent(size=4),
    "quality_length": QualityLength(),
    "dimensions": Dimensions(names=("wit", "depth")),
    "preference": Preference(subspaces=2),
    "steps": Steps(),
}
REWARDS = frozenset({Need.REWARDS})
PACKED = pack(PAIRS)


def made(head: AnyHead) -> RewardModel:
    model = RewardModel(make("llama").base_model, letters(), base="abc", head=head)
    model.draw_head(Seed(1))
    return model.eval()


def said(scores: Scores) -> dict[str, torch.Tensor]:
    return {n: x for n in Scores.__dataclass_fields__ if (x := getattr(scores, n)) is not None}


def every_head(function: Any) -> Any:
    return pytest.mark.parametrize("head", SETTINGS.values(), ids=SETTINGS)(function)


def test_every_kind_is_tried_here() -> None:
    assert set(SETTINGS) == set(HEADS)


@every_head
def test_heads_come_back_bit_for_bit_with_their_settings(head: AnyHead, tmp_path: Path) -> None:
    model = made(head)
    model.offset.fill_(0.3)
    save_reward_model(model, tmp_path / "saved")
    again = load_reward_model(tmp_path / "saved").eval()
    assert again.settings == head
    mine, yours = said(model(PACKED, REWARDS)), said(again(PACKED, REWARDS))
    assert mine.keys() == yours.keys()
    for name, x in mine.items():
        assert torch.equal(x, yours[name]), name
    twin = RewardModel(make("llama").base_model, letters(), head=head)
    restore(twin, tmp_path / "saved")
    for name, x in said(twin.eval()(PACKED, REWARDS)).items():
        assert torch.equal(x, mine[name]), name


def test_a_folder_of_before_there_were_heads_is_scalar(tmp_path: Path) -> None:
    model = made(Scalar())
    save_reward_model(model, tmp_path / "saved")
    card = json.loads((tmp_path / "saved" / "fairlead.json").read_text())
    del card["head"]
    (tmp_path / "saved" / "fairlead.json").write_text(json.dumps(card))
    again = load_reward_model(tmp_path / "saved")
    assert torch.equal(again(PACKED, REWARDS).rewards, model(PACKED, REWARDS).rewards)


@every_head
def test_every_weight_of_a_head_gets_a_gradient(head: AnyHead) -> None:
    model = made(head).train()
    scores = said(model(PACKED, REWARDS))
    sum(x.square().sum() for x in scores.values()).backward()  # pyright: ignore
    without = [n for n, p in model.head.named_parameters() if p.grad is None]
    assert without == []
    assert all(p.grad.count_nonzero() for n, p in model.head.named_parameters() if p.dim() == 2)


@every_head
def test_a_head_gives_what_it_says(head: AnyHead) -> None:
    model = made(head)
    names = {
        Need.REWARDS: "rewards",
        Need.LATENTS: "latent_mean",
        Need.LENGTH_REWARDS: "length_rewards",
        Need.DIMENSIONS: "dimensions",
        Need.EMBEDDINGS: "embeddings",
        Need.STEPS: "steps",
    }
    scores = said(model(PACKED, REWARDS))
    assert {names[need] for need in model.head.gives} <= scores.keys()
    model.require(model.head.gives, where="here")
    with pytest.raises(ConfigError, match="does not give"):
        model.require(frozenset({Need.LOGPS}), where="here")


@pytest.mark.parametrize("kind", [k for k, o in OBJECTIVES.items() if hasattr(o, "head")])
def test_objectives_name_a_head_that_gives_what_they_need(kind: str) -> None:
    objective: Any = OBJECTIVES[kind]
    assert made(SETTINGS[objective.head]).head.gives >= objective.needs


def test_an_ensembles_score_is_the_mean_of_its_members() -> None:
    model = made(Ensemble(members=3))
    model.offset.fill_(0.5)
    scores = model(PACKED, REWARDS)
    assert scores.members.shape == (6, 3)
    torch.testing.assert_close(scores.members.mean(1), scores.rewards)
    single = RewardModel(model.model, letters())
    single.head.weight.data.copy_(model.head.weight[1:2])
    torch.testing.assert_close(single(PACKED, REWARDS).rewards - 0.5, scores.members[:, 1])


def test_latents_are_drawn_in_training_alone() -> None:
    model = made(Latent(size=4))
    calm = model(PACKED, REWARDS)
    assert torch.equal(calm.rewards, model(PACKED, REWARDS).rewards)
    expected = model.head.decoder(calm.latent_mean).squeeze(-1)
    assert torch.equal(calm.rewards, expected)
    model.train()
    torch.manual_seed(0)
    first = model(PACKED, REWARDS)
    second = model(PACKED, REWARDS).rewards
    torch.manual_seed(0)
    assert torch.equal(first.rewards, model(PACKED, REWARDS).rewards)
    assert not torch.equal(first.rewards, second)
    assert torch.equal(first.latent_mean, calm.latent_mean)


def test_draws_have_the_stated_variance() -> None:
    model = made(Latent(size=4))
    nn.init.zeros_(model.head.encoder.weight)
    model.train()
    torch.manual_seed(0)
    draws = torch.stack([model(PACKED, REWARDS).rewards for _ in range(300)])
    # Mean 0 and variance 1 in every latent: the decoder's weights give the variance of scores.
    expected = float(model.head.decoder.weight.detach().square().sum())
    assert draws.var().item() == pytest.approx(expected, rel=0.1)


def test_overlap_is_the_cosine_of_the_two_weights() -> None:
    model = made(QualityLength())
    model.head.length.weight.data.copy_(-2 * model.head.quality.weight.data)
    assert model(PACKED, REWARDS).head_overlap.item() == pytest.approx(1.0, abs=1e-4)
    pairs = model.head.quality.weight.data.reshape(-1, 2)
    model.head.length.weight.data.copy_((pairs.flip(1) * torch.tensor([1.0, -1.0])).reshape(1, -1))
    assert model(PACKED, REWARDS).head_overlap.item() == pytest.approx(0.0, abs=1e-5)


def test_dimensions_are_summed_with_weights_of_the_prompt() -> None:
    model = made(Dimensions(names=("wit", "depth")))
    scores = model(PACKED, REWARDS)
    assert scores.dimensions.shape == (6, 2)
    low, high = scores.dimensions.min(1).values, scores.dimensions.max(1).values
    assert bool(((scores.rewards >= low) & (scores.rewards <= high)).all())
    equal = made(Dimensions(names=("wit", "depth"), gate="equal"))
    scores = equal(PACKED, REWARDS)
    torch.testing.assert_close(scores.rewards, scores.dimensions.mean(1))


def test_planes_are_weighed_alike_for_all_replies_to_a_prompt() -> None:
    scores = made(Preference(subspaces=2))(PACKED, REWARDS)
    assert scores.embeddings.shape == (6, 4) and scores.rewards is None
    torch.testing.assert_close(scores.eigenvalues.sum(1), torch.ones(6))
    assert torch.equal(scores.eigenvalues[0::2], scores.eigenvalues[1::2])
    assert len(scores.eigenvalues.unique(dim=0)) == 3
    ones = made(Preference(subspaces=2, eigenvalues="ones"))(PACKED, REWARDS)
    assert torch.equal(ones.eigenvalues, torch.ones(6, 2))


def test_prompts_are_read_where_nothing_of_the_reply_is_seen() -> None:
    shared, whole = made(Preference()), pack(PAIRS, share_prompts=False)
    torch.testing.assert_close(
        shared(PACKED, REWARDS).eigenvalues, shared(whole, REWARDS).eigenvalues
    )


@pytest.mark.parametrize("head", [Dimensions(), Preference()])
def test_an_encoder_cannot_tell_the_prompt_apart(head: AnyHead) -> None:
    with pytest.raises(ConfigError, match="encoder"):
        RewardModel(bert(), letters(), pooling="mean", head=head)


def test_a_critic_starts_from_a_scalar_head_only() -> None:
    with pytest.raises(ConfigError, match="scalar head"):
        Policy(make("llama"), letters(), value="separate", critic=made(Latent()))


def test_a_fresh_model_has_the_head_that_was_asked_for(tmp_path: Path) -> None:
    make("llama").save_pretrained(tmp_path / "base")
    letters().save_pretrained(tmp_path / "base")
    model = new_reward_model(tmp_path / "base", head=Ensemble(members=2), seed=Seed(3))
    assert model.settings == Ensemble(members=2)
    rows = model.head.weight
    assert rows.shape == (2, 32) and not torch.equal(rows[0], rows[1])


VALUES = frozenset({Need.VALUES, Need.COST_VALUES})


@pytest.mark.parametrize("value", ["shared", "separate"])
def test_cost_values_are_read_off_the_same_trunk(value: str, tmp_path: Path) -> None:
    policy = Policy(make("llama"), letters(), value=value, cost_values=True)  # pyright: ignore
    for number, head in enumerate((policy.value_head, policy.cost_head)):
        nn.init.constant_(head.weight, 0.01)
        nn.init.constant_(head.bias, float(number))
    scores = policy(PACKED, VALUES)
    torch.testing.assert_close(scores.cost_values, scores.values + 1)
    assert policy(PACKED, frozenset({Need.VALUES})).cost_values is None
    save_policy(policy, tmp_path / "saved")
    again = load_policy(tmp_path / "saved", value=value, cost_values=True)  # pyright: ignore
    restore(again, tmp_path / "saved")
    assert torch.equal(again(PACKED, VALUES).cost_values, scores.cost_values)


def test_cost_values_need_a_value_head() -> None:
    with pytest.raises(ConfigError, match="value head"):
        Policy(make("llama"), letters(), cost_values=True)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_whole_distribution_holds_the_targets_logps(family: str) -> None:
    policy = Policy(make(family), letters())
    packed = pack(PAIRS, temperature=0.7)
    scores = policy(packed, frozenset({Need.LOGPS, Need.DISTRIBUTION}))
    own = scores.distribution.gather(1, packed.targets[:, None]).squeeze(1)
    torch.testing.assert_close(own, scores.logps, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scores.distribution.exp().sum(1), torch.ones(len(own)))


def test_half_precision_trunks_have_heads_in_float32() -> None:
    model = RewardModel(llama().base_model.to(torch.bfloat16), letters())
    model.draw_head(Seed(1))
    assert model(PACKED, REWARDS).rewards.dtype == torch.float32
