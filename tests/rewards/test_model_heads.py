"""What reward sources report besides the score, head by head."""

import pytest
import torch

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.models.heads import (
    AnyHead,
    Dimensions,
    Ensemble,
    Latent,
    Preference,
    QualityLength,
    Steps,
)
from fairlead.models.reward_model import RewardModel
from fairlead.rewards.base import Reply
from fairlead.rewards.model import ModelReward
from small_world import comparisons, tiny_llama, tokenizer


def replies(count: int = 8) -> list[Reply]:
    chat = ChatFormat(tokenizer())
    made: list[Reply] = []
    for record in comparisons(count // 2):
        for text in (record.chosen, record.rejected):
            prompt, response = chat.response_ids(record.prompt, text)
            made.append(Reply(record.prompt, prompt, response, chat.text(response)))
    return made


def model(head: AnyHead) -> RewardModel:
    made = RewardModel(tiny_llama().base_model, tokenizer(), base="tiny", head=head)
    made.draw_head(Seed(0))
    return made


def test_dimensions_are_reported_by_name() -> None:
    scored = ModelReward(model(Dimensions(names=("wit", "depth"))), tokenizer()).score(replies())
    assert set(scored.parts) == {"wit", "depth"}
    low = torch.minimum(scored.parts["wit"], scored.parts["depth"])
    high = torch.maximum(scored.parts["wit"], scored.parts["depth"])
    assert bool(((scored.values >= low) & (scored.values <= high)).all())


def test_members_and_their_spread_are_reported() -> None:
    scored = ModelReward(model(Ensemble(members=3)), tokenizer()).score(replies())
    members = torch.stack([scored.parts[f"member_{m}"] for m in range(3)])
    torch.testing.assert_close(scored.values, members.mean(0))
    torch.testing.assert_close(scored.parts["spread"], members.std(0))


def test_the_length_head_is_reported_and_not_paid() -> None:
    own = model(QualityLength())
    before = ModelReward(own, tokenizer()).score(replies())
    own.head.length.weight.data.mul_(-3.0)
    after = ModelReward(own, tokenizer()).score(replies())
    assert torch.equal(before.values, after.values)
    torch.testing.assert_close(after.parts["length_score"], -3 * before.parts["length_score"])


def test_latents_far_from_the_references_cost() -> None:
    plain = ModelReward(model(Latent(size=3)), tokenizer())
    known, new = replies(24), replies(30)[24:]
    watching, paying = plain.against(known), plain.against(known, penalty=0.5)
    values, scored = plain.score(new).values, watching.score(new)
    assert torch.equal(scored.values, values)
    distance = scored.parts["latent_distance"]
    torch.testing.assert_close(paying.score(new).values, values - 0.5 * distance)
    # On the very replies that made the cloud, squared distances average dimensions (n - 1) / n.
    own = watching.score(known).parts["latent_distance"].square().mean().item()
    assert own == pytest.approx(3 * 23 / 24, rel=1e-2)


@pytest.mark.parametrize("head", [Preference(), Steps()])
def test_a_head_without_a_score_is_refused(head: AnyHead) -> None:
    with pytest.raises(ConfigError, match="does not give rewards"):
        ModelReward(model(head), tokenizer())


def test_a_cloud_needs_latents() -> None:
    with pytest.raises(ConfigError, match="latents"):
        ModelReward(model(Ensemble()), tokenizer()).against(replies())
