"""Decoders and their rewards from names, settings and folders, as commands give them."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from fairlead.core.errors import ConfigError
from fairlead.decoding.base import DECODERS, DecoderSettings
from fairlead.decoding.judging import ValueReward
from fairlead.models.loading import load_reward_model
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need
from fairlead.rewards.base import RewardSource
from fairlead.rewards.model import ModelReward
from fairlead.rewards.process import ProcessReward


def parse_decoder(kind: str, settings: Mapping[str, Any], *, where: str) -> DecoderSettings:
    """A decoder by its kind and settings.

    Raises:
        ConfigError: there is no such decoder, or a setting is unknown or does not fit.
    """
    if kind not in DECODERS:
        raise ConfigError(
            f"there is no decoder {kind!r}",
            where=where,
            expected=f"one of: {', '.join(sorted(DECODERS))}",
            remedy="check the spelling",
        )
    try:
        return DECODERS[kind].model_validate(dict(settings))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        known = [name for name in DECODERS[kind].model_fields if name != "kind"]
        raise ConfigError(
            f"decoder {kind!r} has settings that do not fit",
            where=where,
            expected=f"settings among: {', '.join(known)}",
            got=faults,
            remedy="see docs/recipes.md for the settings of each decoder",
        ) from error


def load_reward(path: str, policy: Policy) -> RewardSource:
    """A reward model of whichever family, to judge this policy's replies.

    Raises:
        ConfigError: the folder holds no reward model, or one that gives no score for a reply.
    """
    model = load_reward_model(path).eval().requires_grad_(False)
    if Need.STEPS in model.head.gives:
        return ProcessReward(model, policy.tokenizer)
    return ModelReward(model, policy.tokenizer)


def load_value(path: str, policy: Policy) -> RewardSource:
    """A value model, to judge replies of this policy that are under way.

    Raises:
        ConfigError: the folder holds no reward model, or one with another tokenizer.
    """
    model = load_reward_model(path).eval().requires_grad_(False)
    return ValueReward(model, policy.tokenizer)
