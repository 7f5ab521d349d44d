"""The source of online steps: sample, score, assign credit, and cut into minibatches."""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fairlead.core.errors import ConfigError
from fairlead.core.metrics import Mean
from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import Item
from fairlead.functional.kl import adaptive_kl_coefficient, k3
from fairlead.functional.lagrangian import log_space_multiplier
from fairlead.functional.lengths import overlong_penalty
from fairlead.objectives.base import Need
from fairlead.objectives.batch import RolloutBatch
from fairlead.training.collecting import Collector, Experience, padded
from fairlead.training.credit import AsScored, Credit, Sampled
from fairlead.training.recording import Recorder
from fairlead.training.rollout_config import RolloutConfig
from fairlead.training.source import ENDLESS, Ranks, Step

TABLES = (
    "old_logps",
    "old_values",
    "old_cost_values",
    "advantages",
    "returns",
    "cost_returns",
    "reference",
    "macros",
)


@dataclass(frozen=True)
class Credited:
    """The sampled replies of one prompt, and per token what the objective will be told."""

    item: Item
    rows: dict[str, Tensor]


class Online(ABC):
    """What the sources that sample while training share: rounds, the reference, early ends.

    Args:
        collector: samples and scores.
        microbatch_tokens: tokens computed at once.
        recorder: keeps or brings back rollouts.
        endless: go on until the loop's budget of work is spent.
    """

    def __init__(
        self, collector: Collector, recorder: Recorder | None = None, *, endless: bool = False
    ) -> None:
        self.collector = collector
        self.policy = collector.policy
        self.reward = collector.reward
        self.config: RolloutConfig = collector.config
        self.seed = collector.seed
        self.microbatch_tokens = collector.microbatch_tokens
        self.recorder = recorder
        self.endless = endless
        self.finished = False
        self._iteration = -1
        self._stopped = False
        self._metrics: dict[str, Mean] = {}

    @abstractmethod
    def step(self, index: int, ranks: Ranks) -> Step:
        """A minibatch of what is in hand; a new rollout batch is sampled when one is due."""

    @property
    def _updates(self) -> int:
        return self.config.epochs * self.config.minibatches

    @property
    def steps(self) -> int:
        """Optimizer steps: iterations times epochs times minibatches."""
        if self.endless:
            return ENDLESS
        return self.config.iterations * self._updates

    def between(self, index: int) -> bool:
        """True where a new rollout batch begins, and the reference is one that can be found."""
        iteration, update = divmod(index, self._updates)
        return update == 0 and iteration % (self.config.sync_reference or 1) == 0

    def state(self) -> dict[str, Any]:
        """Whether the run is over; all else follows from the seed and the weights."""
        return {"finished": self.finished}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts a state back; where the reference moves along, it is the policy as restored."""
        self.finished = state["finished"]
        if self.config.sync_reference:
            self._sync()

    def observe(self, metrics: dict[str, float]) -> None:
        """Learns what the last update did, to stop where the policy has moved too far."""
        bound = self.config.stop_update_kl
        if bound is not None and metrics.get("policy/kl_old_k3", 0.0) > bound:
            self._stopped = True
        if self.config.stop_kl is not None and metrics.get("policy/kl_k1", 0) > self.config.stop_kl:
            self.finished = True

    def _fresh(self, iteration: int) -> bool:
        """Whether a new rollout batch is due; readies the reference for it."""
        if iteration == self._iteration:
            return False
        self._iteration, self._stopped = iteration, False
        every = self.config.sync_reference
        if every and iteration and iteration % every == 0:
            self._sync()
        return True

    def _sync(self) -> None:
        """The reference becomes the present policy."""
        reference = self.collector.reference
        if reference is None:
            raise ConfigError(
                "adapters have no reference that could move along",
                where="rollouts.sync_reference",
                remedy="leave sync_reference out, or train all weights",
            )
        reference.model.load_state_dict(self.policy.model.state_dict())

    def _collected(self, iteration: int, ranks: Ranks, needs: frozenset[Need]) -> Experience:
        """The rollout batch of an iteration, from the sampler or from a recording."""
        collector, recorder = self.collector, self.recorder
        if recorder is not None and recorder.replays:
            experience, metrics = recorder.replayed(collector, iteration, ranks), {}
        else:
            experience, metrics = collector.sample(iteration, ranks)
        experience = collector.enrich(experience, needs)
        self._metrics = metrics
        if recorder is None or not recorder.replays:
            self._metrics["rollout/sampler_gap"] = collector.check_sampler(experience)
        return experience

    def _minibatch(self, groups: Sequence[Any], index: int, ranks: Ranks) -> list[Any]:
        """This process's groups for one update: every epoch shuffles anew."""
        iteration, update = divmod(index, self._updates)
        epoch, place = divmod(update, self.config.minibatches)
        order = self.seed.child("minibatches", iteration, epoch, ranks.index).numpy()
        shuffled = order.permutation(len(groups))
        return [groups[i] for i in shuffled[place :: self.config.minibatches]]

    def _check_share(self, ranks: Ranks) -> None:
        if self.config.prompts // ranks.count < self.config.minibatches:
            raise ConfigError(
                "a process has no prompt in a minibatch",
                expected=f"at least {ranks.count * self.config.minibatches} prompts: one for each "
                f"of {ranks.count} process(es) and {self.config.minibatches} minibatch(es)",
                got=f"rollouts.prompts = {self.config.prompts}",
                remedy="raise rollouts.prompts or lower rollouts.minibatches",
            )


class RolloutSource(Online):
    """Samples from the policy it trains, and yields minibatches of what it sampled.

    Args:
        collector: samples and scores.
        needs: what the objective needs of policy and reference.
        pretraining: examples of other text mixed in.
        recorder: keeps or brings back rollouts.
        endless: go on until the loop's budget of work is spent.

    Raises:
        ConfigError: settings contradict each other.
    """

    def __init__(
        self,
        collector: Collector,
        *,
        needs: frozenset[Need],
        pretraining: Sequence[Item] = (),
        recorder: Recorder | None = None,
        endless: bool = False,
    ) -> None:
        super().__init__(collector, recorder, endless=endless)
        _check(self.config, collector, pretraining)
        self.pretraining = pretraining
        # The KL to the reference is watched whether or not it is part of the loss or the reward.
        self.needs = (needs | self.config.credit.needs | {Need.REFERENCE}) - {Need.ENTROPY}
        self.kl_coefficient = self.config.kl.coefficient
        limit = self.config.cost
        self.multiplier = 0.0 if limit is None else limit.initial
        self._costs: deque[float] = deque(maxlen=limit.window if limit else 1)
        self._credited: list[Credited] = []

    def state(self) -> dict[str, Any]:
        """The coefficients that adapt; all else follows from the seed and the weights."""
        adapting = {
            "kl_coefficient": self.kl_coefficient,
            "multiplier": self.multiplier,
            "costs": list(self._costs),
        }
        return super().state() | adapting

    def restore(self, state: dict[str, Any]) -> None:
        """Puts the coefficients back."""
        super().restore(state)
        self.kl_coefficient = state["kl_coefficient"]
        self.multiplier = state["multiplier"]
        self._costs.clear()
        self._costs.extend(state["costs"])

    def step(self, index: int, ranks: Ranks) -> Step:
        """A minibatch of the present rollout batch; a new batch is sampled when one is due."""
        self._check_share(ranks)
        iteration = index // self._updates
        fresh = self._fresh(iteration)
        if fresh:
            self._collect(iteration, ranks)
        if self._stopped:
            return Step([], {"rollout/skipped_updates": Mean(1.0, 1.0)})
        mine = self._minibatch(self._credited, index, ranks)
        batches = [self._batch(group) for group in _packs(mine, self.microbatch_tokens)]
        mixed = self._mixed_in(index, ranks, sum(len(c.item.responses) for c in mine))
        batches += [_pretraining_batch(group, batches[0]) for group in mixed]
        return Step(batches, self._metrics if fresh else {}, self.collector.work())

    def _collect(self, iteration: int, ranks: Ranks) -> None:
        """Samples, scores and credits the rollout batch of one iteration."""
        experience = self._collected(iteration, ranks, self.needs)
        if experience.scored.advantages and not isinstance(self.config.credit, AsScored):
            raise ConfigError(
                f"{self.reward.name} gives advantages already, which no credit rule may touch",
                expected="rollouts.credit: {kind: as_scored}",
                got=f"{{kind: {self.config.credit.kind}}}",
                remedy="set the credit so, or choose a reward that gives scores",
            )
        self._move_multiplier(experience, ranks)
        sampled = self._sampled(experience, ranks)
        credit = self.config.credit(sampled)
        advantages = credit.advantages * self._importance(experience, sampled)
        self._credited = _credited(experience, sampled, replace(credit, advantages=advantages))
        self._report(experience, sampled, credit)
        self._adapt(sampled, ranks)
        if self.recorder is not None:
            self.recorder.keep(iteration, ranks, experience, self._credited)

    def _sampled(self, experience: Experience, ranks: Ranks) -> Sampled:
        """What the credit rule sees."""
        mask = experience.mask
        logp = padded(experience.logps, mask)
        tokens = [torch.tensor(r.tokens) for r in experience.rollouts]
        rewards = padded(experience.scored.token_rewards, mask)
        steps = None if not experience.scored.token_rewards else ~rewards.isnan() & mask
        return Sampled(
            scores=self._final(experience, mask.sum(1)),
            mask=mask,
            logp=logp,
            reference=padded(experience.reference, mask) if experience.reference else logp,
            values=padded(experience.values, mask),
            cost_values=padded(experience.cost_values, mask),
            costs=experience.costs,
            token_rewards=rewards.nan_to_num(),
            steps=steps,
            group=experience.group,
            tokens=pad_sequence(tokens, batch_first=True),
            kl_coefficient=self.kl_coefficient,
            multiplier=self.multiplier,
            over_ranks=ranks.add,
        )

    def _final(self, experience: Experience, lengths: Tensor) -> Tensor:
        """Scores as they are optimised: clipped, and less the penalties on their form."""
        config = self.config
        clip = config.reward_clip or float("inf")
        final = experience.scored.values.clamp(-clip, clip)
        final = final - config.missing_eos_penalty * ~experience.ended
        if config.overlong is None:
            return final
        limit, overlong = config.sampling.max_new_tokens, config.overlong
        buffer = overlong.buffer or max(limit // 5, 1)
        penalty = overlong_penalty(lengths, limit=limit, buffer=buffer, factor=overlong.factor)
        return final + penalty.to(final.dtype)

    def _importance(self, experience: Experience, sampled: Sampled) -> Tensor:
        """Weights of the credit where the sampler is not quite the trainer; 1 as a rule."""
        settings = self.config.importance
        if settings is None:
            return torch.ones_like(sampled.logp)
        sampler = padded([torch.tensor(r.logps) for r in experience.rollouts], sampled.mask)
        gap = torch.where(sampled.mask, sampled.logp - sampler, 0.0)
        if settings.level == "sequence":
            gap = gap.sum(1, keepdim=True).expand_as(gap)
        weights = gap.exp().clamp(max=settings.cap)
        over = torch.where(sampled.mask, (gap.exp() > settings.cap).float(), 0.0)
        self._metrics["rollout/importance_capped"] = Mean(over.sum(), sampled.mask.sum())
        return weights

    def _move_multiplier(self, experience: Experience, ranks: Ranks) -> None:
        """The multiplier follows the mean cost of recent replies, before credit is assigned."""
        limit = self.config.cost
        if limit is None or experience.costs is None:
            return
        costs = experience.costs
        sums = torch.tensor([float(costs.sum()), float(len(costs))], dtype=torch.float64)
        total, count = ranks.add(sums).tolist()
        # One entry per reply, so that the window is in replies whatever the batch size.
        self._costs.extend([total / count] * int(count))
        mean = sum(self._costs) / len(self._costs)
        self.multiplier = log_space_multiplier(
            self.multiplier, mean, limit=limit.limit, rate=limit.rate, maximum=limit.maximum
        )
        self._metrics |= {
            "reward/cost": Mean(costs.sum(), len(costs)),
            "reward/cost_over_limit": Mean((costs > limit.limit).sum(), len(costs)),
            "reward/cost_recent": Mean(mean * len(costs), len(costs)),
            "policy/multiplier": Mean(self.multiplier * len(costs), len(costs)),
        }

    def _report(self, experience: Experience, sampled: Sampled, credit: Credit) -> None:
        """What the rollout batch was like."""
        mask, scores = sampled.mask, experience.scored.values
        count = len(scores)
        kl = torch.where(mask, sampled.logp - sampled.reference, 0.0).sum(1)
        kl3 = torch.where(mask, k3(sampled.logp, sampled.reference), 0.0)
        self._metrics |= credit.metrics
        self._metrics |= {
            f"reward/{name}": Mean(part.sum(), count)
            for name, part in experience.scored.parts.items()
        }
        self._metrics |= {
            "reward/score": Mean(scores.sum(), count),
            "reward/score_squared": Mean(scores.square().sum(), count),
            "reward/final": Mean(sampled.scores.sum(), count),
            "policy/kl_k1": Mean(kl.sum(), count),
            "policy/kl_k3": Mean(kl3.sum(), count),
            "policy/kl_coefficient": Mean(self.kl_coefficient * count, count),
            "rollout/length": Mean(mask.sum(), count),
            "rollout/eos_rate": Mean(experience.ended.sum(), count),
        }
        if experience.values:
            error = torch.where(mask, sampled.values - credit.returns, 0.0)
            returns = torch.where(mask, credit.returns, 0.0)
            self._metrics |= {
                "value/error_before": Mean(error.square().sum(), mask.sum()),
                "value/return_squared": Mean(returns.square().sum(), mask.sum()),
            }

    def _adapt(self, sampled: Sampled, ranks: Ranks) -> None:
        if self.config.kl.target is None:
            return
        kl = torch.where(sampled.mask, sampled.logp - sampled.reference, 0.0).sum(1)
        sums = torch.tensor([float(kl.sum()), float(len(kl))], dtype=torch.float64)
        total, count = ranks.add(sums).tolist()
        self.kl_coefficient = adaptive_kl_coefficient(
            self.kl_coefficient,
            total / count,
            target=self.config.kl.target,
            episodes=int(count),
            horizon=self.config.kl.horizon,
        )

    def _batch(self, group: Sequence[Credited]) -> RolloutBatch:
        packed = pack([c.item for c in group], temperature=self.collector.temperature)
        rows = {name: torch.cat([c.rows[name] for c in group]) for name in TABLES}
        rows["macros"] = torch.cat(list(_numbered(group)))
        return RolloutBatch(
            packed=packed,
            pretraining=torch.zeros(packed.rows.shape[0], dtype=torch.bool),
            budget=self.config.sampling.max_new_tokens,
            **rows,
        )

    def _mixed_in(self, index: int, ranks: Ranks, replies: int) -> list[list[Item]]:
        """Examples of other text for this step, in packs."""
        count = round(self.config.pretraining_ratio * replies)
        if not count:
            return []
        random = self.seed.child("pretraining", index, ranks.index).numpy()
        chosen = random.integers(len(self.pretraining), size=count)
        return microbatches([self.pretraining[i] for i in chosen], self.microbatch_tokens)


def _check(config: RolloutConfig, collector: Collector, pretraining: Sequence[Item]) -> None:
    """Refuses settings that contradict each other."""
    if bool(pretraining) != bool(config.pretraining_ratio):
        raise ConfigError(
            "pretraining text and pretraining_ratio belong together",
            expected="both, or neither",
            got=f"{len(pretraining)} examples, pretraining_ratio {config.pretraining_ratio}",
            remedy="set rollouts.pretraining_ratio above 0 and name the data in pretraining, "
            "or leave both out",
        )
    if (collector.cost is None) != (config.cost is None):
        raise ConfigError(
            "a cost model and a limit on its cost belong together",
            expected="both, or neither",
            got=f"cost model {collector.cost and collector.cost.name}, rollouts.cost {config.cost}",
            remedy="name the cost model in cost and the limit in rollouts.cost",
        )
    if config.dynamic_sampling is not None and config.samples < 2:
        raise ConfigError(
            "a single reply cannot tell whether a prompt's replies differ in worth",
            where="rollouts.samples",
            expected="at least 2",
            got=str(config.samples),
            remedy="set rollouts.samples to 4 or more",
        )


def _credited(experience: Experience, sampled: Sampled, credit: Credit) -> list[Credited]:
    """Cuts [reply, token] tables into the unpadded rows of each prompt's replies."""
    mask = sampled.mask
    nothing = torch.zeros_like(sampled.logp)
    tables = {
        "old_logps": sampled.logp,
        "old_values": sampled.values,
        "old_cost_values": nothing if sampled.cost_values is None else sampled.cost_values,
        "advantages": credit.advantages,
        "returns": credit.returns,
        "cost_returns": nothing if credit.cost_returns is None else credit.cost_returns,
        "reference": sampled.reference,
        "macros": _places(mask) if credit.macros is None else credit.macros,
    }
    credited: list[Credited] = []
    first = 0
    for item in experience.items:
        own = slice(first, first + len(item.responses))
        rows = {name: table[own][mask[own]] for name, table in tables.items()}
        credited.append(Credited(item, rows))
        first = own.stop
    return credited


def _places(mask: Tensor) -> Tensor:
    """Every token a macro action of its own."""
    return torch.arange(mask.shape[1]).expand_as(mask)


def _numbered(group: Sequence[Credited]) -> Iterator[Tensor]:
    """Macro actions counted on from reply to reply, so that no two share a number."""
    first = 0
    for credited in group:
        sizes = [len(response) for response in credited.item.responses]
        for own in credited.rows["macros"].split(sizes):
            yield own + first
            first += int(own[-1]) + 1


def _packs(credited: Sequence[Credited], tokens: int) -> list[list[Credited]]:
    by_record = {c.item.record: c for c in credited}
    groups = microbatches([c.item for c in credited], tokens)
    return [[by_record[item.record] for item in group] for group in groups]


def _pretraining_batch(items: Sequence[Item], like: RolloutBatch) -> RolloutBatch:
    packed = pack(items)
    count = packed.rows.shape[0]
    nothing = torch.zeros(count)
    rows = {name: nothing for name in TABLES if name != "macros"}
    return RolloutBatch(
        packed=packed,
        pretraining=torch.ones(count, dtype=torch.bool),
        macros=torch.zeros(count, dtype=torch.long),
        budget=like.budget,
        **rows,
    )
