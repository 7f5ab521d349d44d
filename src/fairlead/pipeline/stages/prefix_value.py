"""Trains a value model of beginnings, to guide decoding."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt

from fairlead.core.estimates import NamedEstimate
from fairlead.core.results import StageResult, Table
from fairlead.core.seeds import Seed
from fairlead.data.batches import microbatches
from fairlead.data.convert import prompts
from fairlead.decoding.judging import judged
from fairlead.decoding.speaking import Speaker
from fairlead.decoding.value import (
    BellmanValue,
    PrefixValue,
    ValuedItem,
    at_every_token,
    value_batch,
)
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy, new_reward_model, save_reward_model
from fairlead.models.policy import Policy
from fairlead.models.processes import is_first
from fairlead.models.reward_model import RewardModel
from fairlead.objectives.base import Need, Objective
from fairlead.pipeline.rewards import AnyReward, Setting, as_spec
from fairlead.pipeline.sampling import fitting
from fairlead.pipeline.stage import Context, Stage
from fairlead.records import Prompt
from fairlead.rewards.base import RewardSource
from fairlead.stats.resampling import bootstrap
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource

OBJECTIVES: dict[str, Objective] = {"reward": PrefixValue(), "next_value": BellmanValue()}

PLACES = (0.25, 0.5, 0.75, 1.0)
"""Shares of a reply after which the value is held against the reward."""


class PrefixValueStage(Stage):
    """Samples replies, scores them, and fits a model that tells the score from every beginning.

    CD-FUDGE and CD-Q: Mudgal et al. 2023, arXiv:2310.17022.
    """

    kind: Literal["prefix_value"] = "prefix_value"
    policy: str
    """Who replies: the policy that is going to be guided."""
    model: str | None = None
    """What the value model starts from, for instance the reward model; none for the policy."""
    data: str
    """Prompts to reply to."""
    test: str
    """Held-out prompts, to measure on."""
    reward: str | AnyReward
    """What whole replies are worth."""
    target: Literal["reward", "next_value"] = "reward"
    """What the value at a token is to tell: the reward of the whole reply (CD-FUDGE), or the value
    at the next token (CD-Q)."""
    samples: PositiveInt = Field(default=4)
    """Replies per prompt."""
    sampling: Sampling = Sampling(max_new_tokens=64)
    """How replies are sampled."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop."""
    allow_other_base: bool = False
    """Use reward models that were trained for another base model."""
    file_fields: ClassVar[tuple[str, ...]] = ("policy", "model", "data", "test")

    def references(self) -> list[tuple[str, str]]:
        """(field, name) of everything it reads, the reward's models among them."""
        return super().references() + [
            ("reward", path) for path in as_spec(self.reward).references()
        ]

    def run(self, context: Context) -> StageResult:
        """Samples, trains and measures."""
        policy = load_policy(context.model(self.policy)).eval()
        asked = fitting(policy, prompts(context.records(self.data)), self.sampling)
        held_out = fitting(policy, prompts(context.records(self.test)), self.sampling)
        reward = self._reward(context, policy, [*asked, *held_out])
        items = self._items(policy, asked, reward, context.seed.child("train"))
        start = context.model(self.model or self.policy)
        model = new_reward_model(start, pooling="last", seed=context.seed.child("head"))
        source = DatasetSource.of(items, value_batch, self.train, context.seed.child("data"))
        train(
            model,
            OBJECTIVES[self.target],
            source,
            self.train,
            seed=context.seed,
            run_dir=context.folder,
            resume=context.resume,
        )
        if is_first():
            save_reward_model(model, context.folder / "model")
        tested = self._items(policy, held_out, reward, context.seed.child("test"))
        return self._measured(model, tested, held_out, context.seed.child("bootstrap"))

    def _reward(self, context: Context, policy: Policy, asked: Sequence[Prompt]) -> RewardSource:
        setting = Setting.asking(
            asked,
            context=context,
            policy=policy,
            sampling=self.sampling,
            seed=context.seed.child("reward"),
            allow_other_base=self.allow_other_base,
        )
        return as_spec(self.reward).source(setting)

    def _items(
        self, policy: Policy, asked: Sequence[Prompt], reward: RewardSource, seed: Seed
    ) -> list[ValuedItem]:
        spoken = Speaker(policy).sample(asked, self.sampling, n=self.samples, seed=seed)
        replies = [reply for own in spoken for reply in own.replies]
        return [
            ValuedItem(reply.prompt_ids, (reply.response_ids,), record=i, reward=score)
            for i, (reply, (score, _)) in enumerate(
                zip(replies, judged(reward, replies), strict=True)
            )
        ]

    def _measured(
        self, model: RewardModel, items: Sequence[ValuedItem], asked: Sequence[Prompt], seed: Seed
    ) -> StageResult:
        rewards = np.array([item.reward for item in items])
        read = values_at(model, items, PLACES, tokens=self.train.microbatch_tokens)
        clusters = [p.first_user_turn for p in asked for _ in range(self.samples)]
        estimates: list[NamedEstimate] = []
        for place, values in zip(PLACES, read.T, strict=True):
            found = bootstrap(explained, values, rewards, seed=seed, clusters=clusters)
            estimates.append(found.named(f"value_explains/{place:.0%}"))
        table = Table(
            title="Variance of the reward that the value explains",
            columns=("share of the reply", "explained"),
            rows=tuple((e.name.partition("/")[2], e.value) for e in estimates),
        )
        note = f"{len(items)} held-out replies to {len(asked)} prompts"
        return StageResult(estimates=tuple(estimates), tables=(table,), notes=(note,))


def explained(values: np.ndarray, rewards: np.ndarray) -> float:
    """1 less the mean squared error over the variance; 0 for a constant guess of the mean."""
    return float(1 - np.mean((values - rewards) ** 2) / np.var(rewards))


@torch.no_grad()
def values_at(
    model: RewardModel, items: Sequence[ValuedItem], places: Sequence[float], *, tokens: int
) -> np.ndarray:
    """Values after shares of each reply, [reply, place]."""
    model.eval()
    found = np.zeros((len(items), len(places)))
    for group in microbatches(items, tokens):
        packed = at_every_token(group).to(model.device)
        values = model(packed, frozenset({Need.REWARDS})).rewards.cpu()
        lengths = [len(item.responses[0]) for item in group]
        for item, own in zip(group, values.split(lengths), strict=True):
            at = [max(round(share * len(own)), 1) - 1 for share in places]
            found[item.record] = own[at].numpy()
    return found
