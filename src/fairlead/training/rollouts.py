"""The source of online steps: sample, score, assign credit, and cut into minibatches."""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fairlead.core.errors import ConfigError, TrainingError
from fairlead.core.metrics import Mean
from fairlead.core.seeds import Seed
from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import ChatFormat, Ids, Item
from fairlead.functional.advantages import generalised_advantages, shaped_rewards
from fairlead.functional.kl import adaptive_kl_coefficient, k3
from fairlead.functional.reductions import whiten
from fairlead.generation.sampling import Engine, Rollout, Sampling
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need
from fairlead.objectives.batch import RolloutBatch
from fairlead.records import Prompt
from fairlead.rewards.base import Reply, RewardSource
from fairlead.training.source import Ranks, Step


class KLControl(BaseModel):
    """The penalty that keeps the policy near its reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coefficient: NonNegativeFloat = 0.05
    """Reward taken per nat of log-ratio, at each token (at the start, where it adapts)."""
    target: PositiveFloat | None = None
    """Sequence KL in nats that the coefficient is steered to; None keeps it fixed."""
    horizon: PositiveInt = 10_000
    """Replies over which the coefficient may change by a factor (Ziegler et al. 2019)."""


class RolloutConfig(BaseModel):
    """How replies are sampled and credited."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: PositiveInt = 64
    """Prompts per rollout batch, over all processes."""
    samples: PositiveInt = 1
    """Replies per prompt."""
    iterations: PositiveInt = 50
    """Rollout batches in the run."""
    epochs: PositiveInt = 4
    """Passes over each rollout batch."""
    minibatches: PositiveInt = 1
    """Optimizer steps per pass."""
    sampling: Sampling = Sampling(max_new_tokens=64)
    """How replies are sampled."""
    kl: KLControl = KLControl()
    """The penalty that keeps the policy near its reference."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount per token."""
    lam: float = Field(default=0.95, ge=0, le=1)
    """Trace decay of generalised advantage estimation."""
    whiten_advantages: bool = True
    """Advantages get mean 0 and variance 1 over the whole rollout batch."""
    whiten_rewards: bool = False
    """Token rewards are scaled to variance 1, their mean kept."""
    reward_clip: PositiveFloat | None = None
    """Scores are held within plus and minus this."""
    missing_eos_penalty: NonNegativeFloat = 1.0
    """Taken from the score of a reply that does not end."""
    pretraining_ratio: NonNegativeFloat = 0.0
    """Pretraining examples mixed in per reply (PPO-ptx; InstructGPT used 8)."""
    sampler_gap: PositiveFloat = 0.02
    """Largest mean distance of sampler and trainer log-probabilities, in nats per token."""


@dataclass(frozen=True)
class Credited:
    """The sampled replies of one prompt with their per-token credit."""

    item: Item
    old_logps: Tensor
    old_values: Tensor
    advantages: Tensor
    returns: Tensor

    @property
    def tokens(self) -> int:
        """Tokens it takes up in a pack."""
        return self.item.tokens


class RolloutSource:
    """Samples from the policy it trains, and yields minibatches of what it sampled.

    Args:
        policy: the policy in training, with a value head.
        reference: what the KL is measured to; None for a peft policy without its adapters.
        engine: samples with the policy's present weights.
        reward: scores replies.
        prompts: tokenised prompts, (index into `records`, tokens).
        records: the prompts themselves, for reward sources that read text.
        config: how to sample and credit.
        microbatch_tokens: tokens computed at once.
        seed: order of prompts and sampling.
        pretraining: examples mixed in for PPO-ptx.

    Raises:
        ConfigError: there is pretraining text without a ratio, or a ratio without text.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        reference: Policy | None,
        engine: Engine,
        reward: RewardSource,
        prompts: Sequence[tuple[int, Ids]],
        records: Sequence[Prompt],
        config: RolloutConfig,
        microbatch_tokens: int,
        seed: Seed,
        pretraining: Sequence[Item] = (),
    ) -> None:
        if bool(pretraining) != bool(config.pretraining_ratio):
            raise ConfigError(
                "pretraining text and pretraining_ratio belong together",
                expected="both, or neither",
                got=f"{len(pretraining)} examples, pretraining_ratio {config.pretraining_ratio}",
                remedy="set rollouts.pretraining_ratio above 0 and name the data in pretraining, "
                "or leave both out",
            )
        self.policy = policy
        self.reference = reference
        self.engine = engine
        self.reward = reward
        self.prompts = prompts
        self.records = records
        self.config = config
        self.microbatch_tokens = microbatch_tokens
        self.seed = seed
        self.pretraining = pretraining
        self.chat = ChatFormat(policy.tokenizer)
        self.kl_coefficient = config.kl.coefficient
        self.temperature = config.sampling.temperature or 1.0
        self._iteration = -1
        self._credited: list[Credited] = []
        self._metrics: dict[str, Mean] = {}

    @property
    def _updates(self) -> int:
        return self.config.epochs * self.config.minibatches

    @property
    def steps(self) -> int:
        """Optimizer steps: iterations times epochs times minibatches."""
        return self.config.iterations * self._updates

    def between(self, index: int) -> bool:
        """True where a new rollout batch begins."""
        return index % self._updates == 0

    def state(self) -> dict[str, Any]:
        """The KL coefficient: all else follows from the seed and the weights."""
        return {"kl_coefficient": self.kl_coefficient}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts the KL coefficient back."""
        self.kl_coefficient = state["kl_coefficient"]

    def step(self, index: int, ranks: Ranks) -> Step:
        """A minibatch of the present rollout batch; a new batch is sampled when one is due."""
        self._check_share(ranks)
        iteration, update = divmod(index, self._updates)
        fresh = iteration != self._iteration
        if fresh:
            self._collect(iteration, ranks)
            self._iteration = iteration
        epoch, place = divmod(update, self.config.minibatches)
        order = self.seed.child("minibatches", iteration, epoch, ranks.index).numpy()
        shuffled = order.permutation(len(self._credited))
        mine = [self._credited[i] for i in shuffled[place :: self.config.minibatches]]
        batches = [
            _rollout_batch(group, self.temperature)
            for group in _packs(mine, self.microbatch_tokens)
        ]
        mixed = self._mixed_in(index, ranks, sum(len(c.item.responses) for c in mine))
        batches += [_pretraining_batch(group) for group in mixed]
        return Step(batches, self._metrics if fresh else {})

    def _check_share(self, ranks: Ranks) -> None:
        if self.config.prompts // ranks.count < self.config.minibatches:
            raise ConfigError(
                "a process has no prompt in a minibatch",
                expected=f"at least {ranks.count * self.config.minibatches} prompts: one for each "
                f"of {ranks.count} process(es) and {self.config.minibatches} minibatch(es)",
                got=f"rollouts.prompts = {self.config.prompts}",
                remedy="raise rollouts.prompts or lower rollouts.minibatches",
            )

    def _collect(self, iteration: int, ranks: Ranks) -> None:
        """Samples, scores and credits the rollout batch of one iteration."""
        mine = ranks.share(self._chosen(iteration))
        seed = self.seed.child("sample", iteration, ranks.index)
        rollouts = self.engine.sample(
            [ids for _, ids in mine], self.config.sampling, n=self.config.samples, seed=seed
        )
        items = _grouped(rollouts, [ids for _, ids in mine])
        scored = [self._reply(self.records[mine[r.prompt_index][0]], r) for r in rollouts]
        scores = self.reward.score(scored).values
        logps, values = self._score(self.policy, items, values=True)
        self._check_sampler(rollouts, logps)
        with self.policy.as_reference() if self.reference is None else nullcontext():
            ref_logps, _ = self._score(self.reference or self.policy, items, values=False)
        ended = torch.tensor([r.finish == "eos" for r in rollouts])
        self._credit(items, scores, ended, logps, ref_logps, values, ranks)

    def _chosen(self, iteration: int) -> list[tuple[int, Ids]]:
        """The prompts of an iteration: a seeded order that starts anew when all were used."""
        count = len(self.prompts)
        chosen: list[tuple[int, Ids]] = []
        for position in range(
            iteration * self.config.prompts, (iteration + 1) * self.config.prompts
        ):
            epoch, place = divmod(position, count)
            if place == 0 or not chosen:
                order = self.seed.child("prompts", epoch).numpy().permutation(count)
            chosen.append(self.prompts[order[place]])  # pyright: ignore[reportPossiblyUnboundVariable]
        return chosen

    def _reply(self, prompt: Prompt, rollout: Rollout) -> Reply:
        return Reply(prompt, rollout.prompt, rollout.tokens, self.chat.text(rollout.tokens))

    @torch.no_grad()
    def _score(
        self, policy: Policy, items: Sequence[Item], *, values: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Per reply, in order: log-probabilities and values of its tokens."""
        needs = frozenset({Need.LOGPS, Need.VALUES} if values else {Need.LOGPS})
        logps: dict[int, list[Tensor]] = {}
        heads: dict[int, list[Tensor]] = {}
        for group in microbatches(items, self.microbatch_tokens):
            packed = pack(group, temperature=self.temperature).to(policy.device)
            scores = policy(packed, needs)
            sizes = [len(response) for item in group for response in item.responses]
            parts = iter(scores.logps.cpu().split(sizes))
            value_parts = iter(scores.values.cpu().split(sizes) if values else [])
            for item in group:
                logps[item.record] = [next(parts) for _ in item.responses]
                heads[item.record] = [next(value_parts) for _ in item.responses] if values else []
        in_order = range(len(items))
        return [t for i in in_order for t in logps[i]], [t for i in in_order for t in heads[i]]

    def _check_sampler(self, rollouts: Sequence[Rollout], logps: Sequence[Tensor]) -> None:
        """The sampler must give its tokens the log-probabilities that the trainer gives them."""
        sampled = torch.cat([torch.tensor(r.logps) for r in rollouts])
        gap = (sampled - torch.cat(list(logps))).abs()
        truncated = self.config.sampling.top_p < 1 or self.config.sampling.top_k > 0
        self._metrics = {"rollout/sampler_gap": Mean(gap.sum(), gap.numel())}
        if not truncated and not float(gap.mean()) <= self.config.sampler_gap:
            raise TrainingError(
                "the sampler does not sample from the policy that is trained",
                expected=f"log-probabilities within {self.config.sampler_gap} nats per token",
                got=f"{float(gap.mean()):.3g}",
                remedy="check that the sampler has the present weights, temperature and precision",
            )

    def _credit(
        self,
        items: Sequence[Item],
        scores: Tensor,
        ended: Tensor,
        logps: Sequence[Tensor],
        ref_logps: Sequence[Tensor],
        values: Sequence[Tensor],
        ranks: Ranks,
    ) -> None:
        """Turns scores into per-token advantages and returns, and reports on the batch."""
        config = self.config
        mask = pad_sequence([torch.ones(len(x), dtype=torch.bool) for x in logps], batch_first=True)
        logp, ref, value = (
            pad_sequence(list(x), batch_first=True) for x in (logps, ref_logps, values)
        )
        clip = config.reward_clip or float("inf")
        final = scores.clamp(-clip, clip) - config.missing_eos_penalty * ~ended
        rewards = shaped_rewards(final, logp, ref, mask, kl_coefficient=self.kl_coefficient)
        if config.whiten_rewards:
            rewards = whiten(rewards, mask, shift_mean=False, over_ranks=ranks.add)
        advantages, returns = generalised_advantages(
            rewards, value, mask, gamma=config.gamma, lam=config.lam
        )
        if config.whiten_advantages:
            advantages = whiten(advantages, mask, over_ranks=ranks.add)
        self._credited = _credited(items, mask, logp, value, advantages, returns)
        kl = torch.where(mask, logp - ref, 0.0).sum(1)
        self._metrics |= {
            "reward/score": Mean(scores.sum(), len(scores)),
            "reward/shaped": Mean(rewards.sum(), len(scores)),
            "policy/kl_k1": Mean(kl.sum(), len(kl)),
            "policy/kl_k3": Mean(torch.where(mask, k3(logp, ref), 0.0).sum(), len(kl)),
            "policy/kl_coefficient": Mean(self.kl_coefficient * len(kl), len(kl)),
            "rollout/length": Mean(mask.sum(), len(kl)),
            "rollout/eos_rate": Mean(ended.sum(), len(ended)),
            "value/error_before": Mean(
                torch.where(mask, value - returns, 0.0).square().sum(), mask.sum()
            ),
        }
        self._adapt(kl, ranks)

    def _adapt(self, kl: Tensor, ranks: Ranks) -> None:
        if self.config.kl.target is None:
            return
        total, count = ranks.add(torch.tensor([float(kl.sum()), float(len(kl))]).double()).tolist()
        self.kl_coefficient = adaptive_kl_coefficient(
            self.kl_coefficient,
            total / count,
            target=self.config.kl.target,
            episodes=int(count),
            horizon=self.config.kl.horizon,
        )

    def _mixed_in(self, index: int, ranks: Ranks, replies: int) -> list[list[Item]]:
        """Pretraining examples for this step, in packs."""
        count = round(self.config.pretraining_ratio * replies)
        if not count:
            return []
        random = self.seed.child("pretraining", index, ranks.index).numpy()
        chosen = random.integers(len(self.pretraining), size=count)
        return microbatches([self.pretraining[i] for i in chosen], self.microbatch_tokens)


def _grouped(rollouts: Sequence[Rollout], prompts: Sequence[Ids]) -> list[Item]:
    """One item per prompt, holding all its sampled replies."""
    replies: list[list[Ids]] = [[] for _ in prompts]
    for rollout in rollouts:
        replies[rollout.prompt_index].append(rollout.tokens)
    return [
        Item(prompt, tuple(own), (0,) * len(own), index)
        for index, (prompt, own) in enumerate(zip(prompts, replies, strict=True))
    ]


def _credited(items: Sequence[Item], mask: Tensor, *tables: Tensor) -> list[Credited]:
    """Cuts [reply, token] tables into the unpadded rows of each item."""
    credited: list[Credited] = []
    first = 0
    for item in items:
        own = slice(first, first + len(item.responses))
        credited.append(Credited(item, *(table[own][mask[own]] for table in tables)))
        first = own.stop
    return credited


def _packs(credited: Sequence[Credited], tokens: int) -> list[list[Credited]]:
    by_record = {c.item.record: c for c in credited}
    groups = microbatches([c.item for c in credited], tokens)
    return [[by_record[item.record] for item in group] for group in groups]


def _rollout_batch(group: Sequence[Credited], temperature: float) -> RolloutBatch:
    packed = pack([c.item for c in group], temperature=temperature)
    rows = packed.rows.shape[0]
    return RolloutBatch(
        packed=packed,
        old_logps=torch.cat([c.old_logps for c in group]),
        advantages=torch.cat([c.advantages for c in group]),
        returns=torch.cat([c.returns for c in group]),
        old_values=torch.cat([c.old_values for c in group]),
        pretraining=torch.zeros(rows, dtype=torch.bool),
    )


def _pretraining_batch(items: Sequence[Item]) -> RolloutBatch:
    packed = pack(items)
    nothing = torch.zeros(packed.rows.shape[0])
    everything = torch.ones(packed.rows.shape[0], dtype=torch.bool)
    return RolloutBatch(packed, nothing, nothing, nothing, nothing, everything)
