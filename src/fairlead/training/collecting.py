"""Sampling and scoring of one rollout batch: what every online method starts from."""

# torch leaves much untyped; everything else is strict.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fairlead.core.clock import Part, section
from fairlead.core.errors import DataError, TrainingError
from fairlead.core.metrics import Mean
from fairlead.core.seeds import Seed
from fairlead.data.batches import microbatches, pack
from fairlead.data.chat import ChatFormat, Ids, Item
from fairlead.generation.sampling import Engine, Rollout
from fairlead.models.policy import Policy
from fairlead.objectives.base import Need
from fairlead.objectives.batch import Scores
from fairlead.records import Problem, Prompt
from fairlead.rewards.base import Reply, RewardSource, Scored
from fairlead.training.rollout_config import RolloutConfig
from fairlead.training.source import Ranks

AGREED = 1e-4
"""Nats per token up to which a sampler's log-probabilities are the policy's own."""

Asked = tuple[int, Ids]
"""A prompt: its index in the records, and its tokens."""


@dataclass(frozen=True)
class Experience:
    """Sampled replies with all that was found out about them; lists are in the replies' order."""

    asked: list[Asked]
    rollouts: list[Rollout]
    replies: list[Reply]
    scored: Scored
    items: list[Item] = field(default_factory=list[Item])
    """One item per prompt, holding all its replies."""
    logps: list[Tensor] = field(default_factory=list[Tensor])
    """Log-probability of each token under the policy, per reply."""
    reference: list[Tensor] = field(default_factory=list[Tensor])
    """The same under the reference; empty where nobody asked."""
    values: list[Tensor] = field(default_factory=list[Tensor])
    cost_values: list[Tensor] = field(default_factory=list[Tensor])
    costs: Tensor | None = None
    """Cost of each reply."""
    sampler_gap: Mean = field(default_factory=lambda: Mean(0.0, 0.0))
    """Distance of the sampler's log-probabilities from the policy's, where both are known."""

    @property
    def ended(self) -> Tensor:
        """True for replies that ended by themselves."""
        return torch.tensor([r.finish == "eos" for r in self.rollouts])

    @property
    def mask(self) -> Tensor:
        """[reply, token]: True where there is a token."""
        ones = [torch.ones(len(r.tokens), dtype=torch.bool) for r in self.rollouts]
        return pad_sequence(ones, batch_first=True)

    @property
    def group(self) -> Tensor:
        """The prompt that each reply answers, as a place in `asked`."""
        return torch.tensor([r.prompt_index for r in self.rollouts])


def padded(rows: Sequence[Tensor], like: Tensor) -> Tensor:
    """[reply, token] from rows of different length; zeros in the shape of `like` for no rows."""
    return pad_sequence(list(rows), batch_first=True) if rows else torch.zeros(like.shape)


class Collector:
    """Samples replies to prompts, has them scored, and asks policy and reference about them.

    Args:
        policy: the policy in training.
        reference: what the KL is measured to; None for a peft policy without its adapters.
        engine: samples with the policy's present weights.
        reward: scores replies.
        prompts: tokenised prompts, (index into `records`, tokens).
        records: prompts, or problems for rewards that check answers.
        config: how to sample.
        microbatch_tokens: tokens computed at once.
        seed: of the prompts' order and of sampling.
        cost: scores what is to be limited.
        opponent: samples the replies that others are held against (Nash-MD).
    """

    def __init__(
        self,
        policy: Policy,
        *,
        reference: Policy | None,
        engine: Engine,
        reward: RewardSource,
        prompts: Sequence[Asked],
        records: Sequence[Prompt | Problem],
        config: RolloutConfig,
        microbatch_tokens: int,
        seed: Seed,
        cost: RewardSource | None = None,
        opponent: Engine | None = None,
    ) -> None:
        self.policy = policy
        self.reference = reference
        self.engine = engine
        self.reward = reward
        self.prompts = prompts
        self.records = records
        self.config = config
        self.microbatch_tokens = microbatch_tokens
        self.seed = seed
        self.cost = cost
        self.opponent = opponent
        self.chat = ChatFormat(policy.tokenizer)
        self.temperature = config.sampling.temperature or 1.0
        self.passes = 0

    def work(self) -> int:
        """Tokens that went through a model since this was last asked."""
        done, self.passes = self.passes, 0
        return done

    def sample(self, iteration: int, ranks: Ranks) -> tuple[Experience, dict[str, Mean]]:
        """Replies of one rollout batch with their scores, and what drawing them was like."""
        dynamic = self.config.dynamic_sampling
        if dynamic is None:
            asked = ranks.share(self._in_order(iteration))
            return self._replies(asked, self.seed.child("sample", iteration, ranks.index)), {}
        return self._until_full(iteration, ranks, dynamic.max_rounds)

    def enrich(self, experience: Experience, needs: frozenset[Need]) -> Experience:
        """Adds log-probabilities, values and costs, as `needs` ask."""
        items = _grouped(experience)
        with section(Part.POLICY):
            own, gap = self._own_scores(experience, items, needs)
        with section(Part.REFERENCE):
            reference = self._reference_logps(items) if Need.REFERENCE in needs else []
        costs = None if self.cost is None else _scored(self.cost, experience.replies).values
        return replace(
            experience,
            items=items,
            logps=own["logps"],
            reference=reference,
            values=own.get("values", []),
            cost_values=own.get("cost_values", []),
            costs=costs,
            sampler_gap=gap,
        )

    def _own_scores(
        self, experience: Experience, items: Sequence[Item], needs: frozenset[Need]
    ) -> tuple[dict[str, list[Tensor]], Mean]:
        """What the policy says of its replies, and how far the sampler is from that.

        Where log-probabilities are all that is asked for, the sampler's are taken if the policy
        agrees with them on the replies to the first prompt.
        """
        sampled = [torch.tensor(r.logps) for r in experience.rollouts]
        if not needs & {Need.VALUES, Need.COST_VALUES}:
            first = torch.cat(self.score(self.policy, items[:1], needs)["logps"])
            gap = (torch.cat(sampled)[: len(first)] - first).abs()
            if float(gap.max()) <= AGREED:
                return {"logps": sampled}, Mean(gap.sum(), gap.numel())
        own = self.score(self.policy, items, needs)
        gap = (torch.cat(sampled) - torch.cat(own["logps"])).abs()
        return own, Mean(gap.sum(), gap.numel())

    def check_sampler(self, experience: Experience) -> Mean:
        """How far sampler and trainer disagree, in nats per token.

        Raises:
            TrainingError: they disagree more than the settings allow.
        """
        gap, sampling = experience.sampler_gap, self.config.sampling
        truncated = sampling.top_p < 1 or sampling.top_k > 0
        allowed = truncated or self.config.importance is not None
        if not allowed and not gap.value <= self.config.sampler_gap:
            raise TrainingError(
                "the sampler does not sample from the policy that is trained",
                expected=f"log-probabilities within {self.config.sampler_gap} nats per token",
                got=f"{gap.value:.3g}",
                remedy="check that the sampler has the present weights, temperature and precision, "
                "or set rollouts.importance to weigh its replies",
            )
        return gap

    @torch.no_grad()
    def score(
        self, policy: Policy, items: Sequence[Item], needs: frozenset[Need]
    ) -> dict[str, list[Tensor]]:
        """Per reply, in order: log-probabilities of its tokens, and values where asked for."""
        wanted = {
            name: need
            for name, need in (
                ("logps", Need.LOGPS),
                ("values", Need.VALUES),
                ("cost_values", Need.COST_VALUES),
            )
            if need in needs
        }
        by_item: dict[int, dict[str, list[Tensor]]] = {}
        for group in microbatches(items, self.microbatch_tokens):
            packed = pack(group, temperature=self.temperature).to(policy.device)
            self.passes += packed.input_ids.shape[0]
            scores: Scores = policy(packed, frozenset(wanted.values()))
            sizes = [len(response) for item in group for response in item.responses]
            parts = {n: iter(getattr(scores, n).cpu().split(sizes)) for n in wanted}
            for item in group:
                by_item[item.record] = {
                    n: [next(rows) for _ in item.responses] for n, rows in parts.items()
                }
        return {n: [row for i in range(len(items)) for row in by_item[i][n]] for n in wanted}

    def again(self, sampled: Sequence[tuple[int, Rollout]], *, where: str) -> Experience:
        """An experience of given replies, (record, reply), scored anew.

        Raises:
            DataError: the replies do not belong to these prompts.
        """
        known = dict(self.prompts)
        asked: dict[int, Asked] = {}
        for record, rollout in sampled:
            if known.get(record) != rollout.prompt:
                raise DataError(
                    "the recorded replies answer other prompts than these",
                    where=where,
                    got=f"prompt {record} differs or is missing",
                    remedy="replay with the data, tokenizer and settings of `data` that were "
                    "recorded",
                )
            asked[rollout.prompt_index] = (record, rollout.prompt)
        rollouts = [rollout for _, rollout in sampled]
        replies = [self._reply(record, rollout) for record, rollout in sampled]
        return Experience(list(asked.values()), rollouts, replies, _scored(self.reward, replies))

    def _reference_logps(self, items: Sequence[Item]) -> list[Tensor]:
        with self.policy.as_reference() if self.reference is None else nullcontext():
            return self.score(self.reference or self.policy, items, frozenset({Need.LOGPS}))[
                "logps"
            ]

    def _in_order(self, iteration: int) -> list[Asked]:
        """The prompts of an iteration: a seeded order that starts anew when all were used."""
        count, wanted = len(self.prompts), self.config.prompts
        chosen: list[Asked] = []
        order = self._order(iteration * wanted // count)
        for position in range(iteration * wanted, (iteration + 1) * wanted):
            epoch, place = divmod(position, count)
            order = self._order(epoch) if place == 0 else order
            chosen.append(self.prompts[order[place]])
        return chosen

    def _order(self, epoch: int) -> list[int]:
        return self.seed.child("prompts", epoch).numpy().permutation(len(self.prompts)).tolist()

    def _until_full(
        self, iteration: int, ranks: Ranks, rounds: int
    ) -> tuple[Experience, dict[str, Mean]]:
        """Draws prompts until enough of them have replies that differ in worth."""
        wanted = len(ranks.share(range(self.config.prompts)))
        useful: list[Experience] = []
        useless: list[Experience] = []
        drawn = 0
        for number in range(rounds):
            seed = self.seed.child("sample", iteration, ranks.index, number)
            asked = (
                ranks.share(self._in_order(iteration))
                if number == 0
                else self._at_random(seed.child("prompts"), wanted)
            )
            drawn += len(asked)
            for one in _apart(self._replies(asked, seed)):
                (useful if float(one.scored.values.std()) > 0 else useless).append(one)
            if len(useful) >= wanted:
                break
        kept = useful[:wanted]
        filled = useless[: wanted - len(kept)]
        metrics = {
            "rollout/useful_prompts": Mean(float(len(useful)), float(drawn)),
            "rollout/filled_prompts": Mean(float(len(filled)), float(wanted)),
        }
        return _joined([*kept, *filled]), metrics

    def _at_random(self, seed: Seed, count: int) -> list[Asked]:
        order = seed.numpy().permutation(len(self.prompts))[:count]
        return [self.prompts[i] for i in order]

    def answered(self, engine: Engine, asked: Sequence[Asked], seed: Seed) -> Experience:
        """One reply of another sampler to each prompt, scored."""
        rollouts = self._sampled(engine, asked, seed, 1)
        replies = [self._reply(asked[r.prompt_index][0], r) for r in rollouts]
        return Experience(list(asked), rollouts, replies, _scored(self.reward, replies))

    def _replies(self, asked: Sequence[Asked], seed: Seed) -> Experience:
        rollouts = self._sampled(self.engine, asked, seed, self.config.samples)
        replies = [self._reply(asked[r.prompt_index][0], r) for r in rollouts]
        scored = _scored(self.reward, replies)
        if self.opponent is not None:
            scored = self._against(self.opponent, asked, replies, scored, seed)
        return Experience(list(asked), rollouts, replies, scored)

    def _sampled(self, engine: Engine, asked: Sequence[Asked], seed: Seed, n: int) -> list[Rollout]:
        ids = [ids for _, ids in asked]
        with section(Part.GENERATE):
            rollouts = engine.sample(ids, self.config.sampling, n=n, seed=seed)
        replies = sum(len(r.tokens) for r in rollouts)
        # Once to sample, once to be scored by a reward of the policy's size.
        self.passes += 2 * (sum(map(len, ids)) + replies)
        return rollouts

    def _against(
        self,
        opponent: Engine,
        asked: Sequence[Asked],
        replies: Sequence[Reply],
        scored: Scored,
        seed: Seed,
    ) -> Scored:
        """Scores as the probability of beating the opponent's reply to the same prompt."""
        theirs = self.answered(opponent, asked, seed.child("opponent")).scored.values
        samples = len(replies) // len(asked)
        wins = torch.sigmoid(scored.values - theirs.repeat_interleave(samples))
        return replace(scored, values=wins, parts={**scored.parts, "raw": scored.values})

    def _reply(self, index: int, rollout: Rollout) -> Reply:
        record = self.records[index]
        problem = record if isinstance(record, Problem) else None
        prompt = record.prompt if isinstance(record, Problem) else record
        text = self.chat.text(rollout.tokens)
        return Reply(prompt, rollout.prompt, rollout.tokens, text, problem, rollout.finish)


def _scored(source: RewardSource, replies: Sequence[Reply]) -> Scored:
    with section(Part.REWARD):
        return source.score(replies)


def _grouped(experience: Experience) -> list[Item]:
    """One item per prompt, holding all its sampled replies."""
    replies: list[list[Ids]] = [[] for _ in experience.asked]
    for rollout in experience.rollouts:
        replies[rollout.prompt_index].append(rollout.tokens)
    return [
        Item(prompt, tuple(own), (0,) * len(own), index)
        for index, ((_, prompt), own) in enumerate(zip(experience.asked, replies, strict=True))
    ]


def _apart(experience: Experience) -> list[Experience]:
    """One experience per prompt."""
    parts: list[Experience] = []
    for place, asked in enumerate(experience.asked):
        own = [i for i, r in enumerate(experience.rollouts) if r.prompt_index == place]
        pick = torch.tensor(own)
        scored = experience.scored
        parts.append(
            Experience(
                [asked],
                [replace(experience.rollouts[i], prompt_index=0) for i in own],
                [experience.replies[i] for i in own],
                _mapped(scored, lambda x, pick=pick: x[pick], own),
            )
        )
    return parts


def _mapped(scored: Scored, take: Callable[[Tensor], Tensor], own: Sequence[int]) -> Scored:
    return Scored(
        take(scored.values),
        {name: take(part) for name, part in scored.parts.items()},
        tuple(scored.reasons[i] for i in own) if scored.reasons else (),
        tuple(scored.token_rewards[i] for i in own) if scored.token_rewards else (),
        scored.advantages,
    )


def _joined(parts: Sequence[Experience]) -> Experience:
    first = parts[0].scored
    return Experience(
        [asked for part in parts for asked in part.asked],
        [
            replace(rollout, prompt_index=place)
            for place, part in enumerate(parts)
            for rollout in part.rollouts
        ],
        [reply for part in parts for reply in part.replies],
        Scored(
            torch.cat([part.scored.values for part in parts]),
            {n: torch.cat([part.scored.parts[n] for part in parts]) for n in first.parts},
            tuple(reason for part in parts for reason in part.scored.reasons),
            tuple(row for part in parts for row in part.scored.token_rewards),
            first.advantages,
        ),
    )
