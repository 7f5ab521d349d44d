"""A policy's replies as a round of a campaign: sampled, selected, handed out, collected."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.files import sha256_json
from fairlead.core.seeds import Seed
from fairlead.feedback.campaign_items import NewBatch, NewCandidate, NewItem, NewSuggestion
from fairlead.feedback.campaigns import CampaignInfo, find_campaign
from fairlead.feedback.exports.settings import ExportSettings
from fairlead.feedback.exports.write import ExportInfo, export_into
from fairlead.feedback.permissions import LOCAL
from fairlead.feedback.rounds import (
    ON_ONE_REPLY,
    RoundState,
    open_round,
    require_preferences,
    round_state,
)
from fairlead.feedback.selection import LEAST_RANDOM, Selection, Signals, Strategy, select
from fairlead.feedback.store import Store, open_store
from fairlead.generation.sampling import Sampling
from fairlead.lineage.manifest import sha256_path
from fairlead.models.loading import load_policy, load_reward_model
from fairlead.models.policy import Policy
from fairlead.pipeline.sampling import fitting, sample_replies
from fairlead.pipeline.stage import LabelsPending
from fairlead.records import Prompt
from fairlead.rewards.base import Reply
from fairlead.rewards.model import ModelReward


class Asking(BaseModel):
    """What is sampled and who is asked about how much of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: PositiveInt = 2
    """Replies sampled for each prompt; equal and empty ones are left out. Pairs are made of the
    first two that differ."""
    budget: PositiveInt | None = None
    """Items that people get; None for all."""
    strategy: Strategy = "random"
    """Which items these are."""
    random_share: float = Field(default=LEAST_RANDOM, ge=LEAST_RANDOM, le=1)
    """Share of the budget that is drawn at random whatever the strategy."""
    rewards: tuple[str, ...] = ()
    """Reward models that the strategy goes by: the first gives margins, all of them disagree."""
    judge: str | None = None
    """Reward model whose preferences are the AI labels, for `rlthf`; kept as suggestions."""
    sampling: Sampling = Sampling(max_new_tokens=256)
    """How replies are sampled."""


class AskedRound(BaseModel):
    """The items of a round and how they were chosen; enough to go on with it after a stop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    items: tuple[NewItem, ...]
    batch: NewBatch
    pool: int
    """Items of which these were chosen."""
    left_out: int
    """Prompts without enough different replies, or without room for one."""

    @property
    def names(self) -> list[str]:
        """External ids."""
        return [item.external_id for item in self.items]


@dataclass(frozen=True)
class Desk:
    """A campaign in its store, as the one who may manage it on this machine."""

    store: Store
    campaign: CampaignInfo

    @classmethod
    def at(cls, address: str, campaign: str) -> "Desk":
        """Opens a store and finds a campaign by name, `project/name` or number.

        Raises:
            Missing: there is no such campaign.
            ConfigError: its answers cannot train a reward model.
        """
        store = open_store(address)
        try:
            found = find_campaign(store, LOCAL, campaign)
            require_preferences(found)
        except BaseException:
            store.close()
            raise
        return cls(store, found)

    def open(self, asked: AskedRound) -> int:
        """Hands the round's items out; returns how many were new."""
        now = datetime.now(UTC)
        own = (self.store, LOCAL, self.campaign.id)
        return open_round(*own, asked.items, asked.batch, now=now).added

    def state(self, asked: AskedRound) -> RoundState:
        """How far the round is."""
        return round_state(self.store, LOCAL, self.campaign.id, asked.names)

    def export(self, asked: AskedRound, folder: Path, settings: ExportSettings) -> ExportInfo:
        """Writes the round's answers into a stage's folder; erasure will find them there."""
        now = datetime.now(UTC)
        own = (self.store, LOCAL, self.campaign.id)
        return export_into(*own, folder, settings, now=now, only=asked.names)

    def wait(self, asked: AskedRound, *, every: float, say: Callable[[str], None]) -> RoundState:
        """Looks every so many seconds until nothing more will come; says when something has."""
        said = ""
        while not (state := self.state(asked)).complete:
            if str(state) != said:
                said = str(state)
                say(f"campaign {state.campaign} ({state.state}): {said}")
            time.sleep(every)
        return state


def pending(state: RoundState, stage: str) -> LabelsPending:
    """The error for a round that is not complete."""
    return LabelsPending(
        "people have not answered everything yet",
        where=f"stage {stage}, campaign {state.campaign} ({state.state})",
        got=str(state),
        remedy="go on with --resume when they have, or wait for them with --wait",
    )


def ask(
    settings: Asking, path: str, prompts: Sequence[Prompt], campaign: CampaignInfo, seed: Seed
) -> AskedRound:
    """Samples a policy and makes a round's items; nothing is handed out yet.

    The batch records the policy's hash, the strategy with its seed and settings, and the hashes of
    the reward models it went by; every item records its stratum and its propensity.

    Args:
        settings: how much is sampled and asked.
        path: the policy.
        prompts: what it is asked.
        campaign: whose kind of work the items must fit.
        seed: of sampling and selection.

    Raises:
        DataError: the policy gives no prompt enough different replies.
        ConfigError: the strategy needs reward models that are not named.
    """
    policy = load_policy(path).eval()
    fitted = fitting(policy, prompts, settings.sampling)
    sampled = sample_replies(
        policy, fitted, settings.sampling, n=settings.samples, seed=seed.child("sample")
    )
    pool, short = _pool(sampled, campaign.settings.work.kind)
    if not pool:
        raise DataError(
            "the policy gives no prompt enough different replies to judge",
            where=path,
            got=f"{len(fitted)} prompts with {settings.samples} replies each",
            remedy="sample more replies, or at a higher temperature",
        )
    signals = _signals(settings, policy, pool)
    chosen = select(
        len(pool),
        settings.budget or len(pool),
        settings.strategy,
        seed=seed.child("select"),
        signals=signals.of_pairs,
        random_share=settings.random_share,
    )
    digest = _hash(path, policy)
    return AskedRound(
        items=tuple(_items(settings, pool, chosen, signals, digest)),
        batch=NewBatch(
            strategy=settings.strategy,
            seed=seed.value,
            params=_params(settings, chosen),
            model_sha256=digest,
        ),
        pool=len(pool),
        left_out=len(prompts) - len(fitted) + short,
    )


def _pool(sampled: Sequence[Sequence[Reply]], kind: str) -> tuple[list[list[Reply]], int]:
    """What could be asked about, as the kind of work takes it, and the prompts that give none."""
    pool: list[list[Reply]] = []
    short = 0
    for own in sampled:
        different = list({reply.text: reply for reply in own if reply.text.strip()}.values())
        if kind in ON_ONE_REPLY:
            pool += [[reply] for reply in different]
            short += not different
        elif len(different) < 2:
            short += 1
        else:
            pool.append(different[:2] if kind == "pairwise" else different)
    return pool, short


@dataclass(frozen=True)
class _Signals:
    of_pairs: Signals
    labels: np.ndarray | None = None
    """[pair] whether the judge prefers the first reply."""


def _signals(settings: Asking, policy: Policy, pool: Sequence[Sequence[Reply]]) -> _Signals:
    """What the strategy goes by; margins are those of the judge's labels where there is one."""
    if settings.strategy == "random":
        return _Signals(Signals())
    if any(len(own) != 2 for own in pool):
        raise ConfigError(
            "only pairs can be selected by reward",
            where=f"strategy {settings.strategy}",
            expected="a campaign of pairwise work",
            remedy="select at random",
        )
    if not settings.rewards or (settings.strategy == "rlthf" and settings.judge is None):
        needed = "a judge and a reward model" if settings.strategy == "rlthf" else "a reward model"
        raise ConfigError(
            f"the strategy goes by {needed}",
            where=f"strategy {settings.strategy}",
            remedy="name their folders, or select at random",
        )
    margins = np.stack([_margins(path, policy, pool) for path in settings.rewards], axis=1)
    first, labels = margins[:, 0], None
    if settings.judge is not None:
        labels = _margins(settings.judge, policy, pool) > 0
        first = np.where(labels, first, -first)
    verdicts = 1 / (1 + np.exp(-margins))
    return _Signals(Signals(margins=first, verdicts=verdicts), labels)


def _margins(path: str, policy: Policy, pool: Sequence[Sequence[Reply]]) -> np.ndarray:
    """Score of each pair's first reply less that of its second."""
    source = ModelReward(load_reward_model(path).eval(), policy.tokenizer)
    values = source.score([reply for own in pool for reply in own]).values
    scores = values.double().numpy().reshape(-1, 2)
    return scores[:, 0] - scores[:, 1]


def _items(
    settings: Asking,
    pool: Sequence[Sequence[Reply]],
    chosen: Selection,
    signals: _Signals,
    model: str,
) -> list[NewItem]:
    sampling = settings.sampling.model_dump(mode="json")
    made: list[NewItem] = []
    for place, stratum in zip(chosen.chosen.tolist(), chosen.stratum, strict=True):
        own = pool[place]
        prompt, texts = own[0].prompt, [reply.text for reply in own]
        messages = [message.model_dump(mode="json") for message in prompt.messages]
        suggestions: tuple[NewSuggestion, ...] = ()
        if signals.labels is not None:
            value = {"preferred": 0 if signals.labels[place] else 1}
            suggestions = (NewSuggestion(value=value, agent=str(settings.judge)),)
        made.append(
            NewItem(
                external_id=sha256_json([model, messages, texts])[:32],
                messages=prompt.messages,
                candidates=tuple(
                    NewCandidate(text=text, model=model, sampling=sampling) for text in texts
                ),
                stratum=stratum,
                propensity=float(chosen.propensity[place]),
                suggestions=suggestions,
                meta={"subset": prompt.subset} if prompt.subset else {},
            )
        )
    return made


def _params(settings: Asking, chosen: Selection) -> dict[str, Any]:
    used = [*settings.rewards, *([settings.judge] if settings.judge else [])]
    return {
        **chosen.params,
        "random_share": settings.random_share,
        "samples": settings.samples,
        "sampling": settings.sampling.model_dump(mode="json"),
        "reward_models": {path: sha256_path(Path(path)) for path in used},
    }


def _hash(path: str, policy: Policy) -> str:
    """Hash of the model's folder, as manifests have it; of its weights where it has none."""
    return sha256_path(Path(path)) if Path(path).exists() else policy.base
