"""Methods that imitate what they themselves did best: sample, score, select, imitate, again.

Anthony et al. 2017, arXiv:1705.08439.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field, PositiveInt

from fairlead.core.errors import DataError
from fairlead.core.estimates import NamedEstimate
from fairlead.core.results import StageResult, Table
from fairlead.core.seeds import Seed
from fairlead.data.convert import demonstrations
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import Lora, load_policy
from fairlead.models.policy import Policy
from fairlead.pipeline.measuring import (
    Asked,
    Measured,
    answers,
    asked_of,
    measure,
    round_estimates,
    round_figure,
    round_samples,
    round_table,
    score,
    with_room,
)
from fairlead.pipeline.rewards import AnyReward, Setting, as_spec
from fairlead.pipeline.rounds import (
    Round,
    imitate,
    kept_records,
    kept_value,
    mixed,
    publish,
)
from fairlead.pipeline.selection import Correct, Selection, by_prompt, distinct
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.records import Demonstration, Rating
from fairlead.rewards.base import Reply, RewardSource
from fairlead.stats.means import mean_estimate
from fairlead.stats.proportions import proportion
from fairlead.training.config import TrainConfig


class SelfTraining(Stage):
    """What the stages share that fine-tune a policy on its own selected replies."""

    model: str | None
    """The policy to start from, usually an SFT stage."""
    data: str
    """Records whose prompts are answered in training."""
    test: str
    """Held-out records whose prompts every round is measured on."""
    reward: str | AnyReward
    """What scores the sampled replies: a reward model, or a reward with its kind."""
    truth: AnyReward | None = None
    """What scores the replies to held-out prompts; None for the same as `reward`."""
    threshold: float = 1.0
    """Score from which a reply counts as right."""
    rounds: PositiveInt = 3
    """How often to sample and train."""
    samples: PositiveInt = 8
    """Replies sampled for each prompt in a round."""
    select: Selection = Correct()
    """Which replies to imitate."""
    start: Literal["previous", "base"] = "previous"
    """Weights that each round begins from: those of the round before, or `model`."""
    keep_earlier: bool = False
    """Select from the replies of all rounds so far, not of the last one alone."""
    replay: str | None = None
    """Replies of the original fine-tuning that are mixed in."""
    replay_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training examples that come from `replay`."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop in each round."""
    max_length: int = 512
    """Longest prompt plus reply, in tokens."""
    lora: Lora | None = None
    """Train adapters instead of all weights; they are merged after every round."""
    sampling: Sampling = Sampling(max_new_tokens=256)
    """How replies are sampled, in training and for measuring."""
    prompts: PositiveInt | None = None
    """Training prompts at most; None for all."""
    test_prompts: PositiveInt = 300
    """Held-out prompts at most."""
    tries: PositiveInt = 4
    """Replies per held-out prompt, and the k of pass@k."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "data", "test", "replay")

    def references(self) -> list[tuple[str, str]]:
        """What its fields name, and what its rewards read."""
        rewards = [("reward", self.reward), ("truth", self.truth)]
        named_in = [(f, n) for f, r in rewards if r is not None for n in as_spec(r).references()]
        return [*super().references(), *named_in]

    def run(self, context: Context) -> StageResult:
        """Samples, selects, imitates and measures, round after round."""
        bench = Bench(self, context)
        measured = [bench.measured(Round.of(context, 0), bench.start)]
        previous, chosen = bench.start, list[Chosen]()
        for number in range(1, self.rounds + 1):
            own = Round.of(context, number)
            chosen.append(self._choose(own, previous, bench))
            begin = previous if self.start == "previous" else bench.start
            records = self._examples(chosen[-1], own, context)
            config = self.config(number, len(records))
            imitate(own, begin, records, config, max_length=self.max_length, lora=self.lora)
            previous = str(own.model)
            measured.append(bench.measured(own, previous))
        publish(Round.of(context, self.rounds), context)
        return self._result(bench, measured, chosen)

    def config(self, number: int, examples: int) -> TrainConfig:
        """Settings of the loop in a round, from 1."""
        return self.train

    def further(
        self, own: Round, path: str, samples: Sequence[Rating], bench: "Bench"
    ) -> list[Rating]:
        """Replies to imitate besides those that were selected; `path` is who sampled."""
        return []

    def _choose(self, own: Round, path: str, bench: "Bench") -> "Chosen":
        """Samples from the last round's policy and selects."""
        samples = bench.sampled(own, path)
        every = list(samples)
        if self.keep_earlier:
            for number in range(own.number - 1, 0, -1):
                every += bench.sampled(Round.of(bench.context, number), path)
        further = self.further(own, path, samples, bench)
        chosen = [*self.select(every, self.threshold), *further]
        if not chosen:
            raise DataError(
                f"round {own.number}: no reply is worth imitating",
                where=f"stage {self.name}",
                expected=f"at least one reply whose score reaches {self.threshold}",
                got=f"{len(samples)} replies that end, the best with "
                f"{max((s.value for s in samples), default=float('nan')):.3g}",
                remedy="start from a better policy, sample more, or lower the threshold",
            )
        return Chosen(len(bench.train), samples, chosen, len(further))

    def _examples(self, chosen: "Chosen", own: Round, context: Context) -> list[Demonstration]:
        records = [Demonstration(prompt=c.prompt, response=c.response) for c in chosen.kept]
        if self.replay is None:
            return records
        original = demonstrations(context.records(self.replay))
        return mixed(records, original, self.replay_share, own.seed.child("replay"))

    def _result(
        self, bench: "Bench", measured: Sequence[Measured], chosen: Sequence["Chosen"]
    ) -> StageResult:
        estimates = round_estimates(self.name, measured, self.threshold)
        for number, own in enumerate(chosen, start=1):
            estimates += own.estimates(number, self.threshold)
        return StageResult(
            estimates=tuple(estimates),
            figures=(round_figure(measured, self.threshold),),
            tables=(round_table(measured, self.threshold), _chosen_table(chosen, self.threshold)),
            samples=round_samples(bench.test, measured),
            notes=(bench.note,),
        )


class Bench:
    """The prompts and the judges of a stage, and the files that keep what they found."""

    def __init__(self, stage: SelfTraining, context: Context) -> None:
        self.stage = stage
        self.context = context
        self.start = context.model(require_path(stage.model, "model.path"))
        self.policy = load_policy(self.start)
        found = {n: asked_of(context.records(getattr(stage, n))) for n in ("data", "test")}
        self.train = with_room(self.policy, found["data"], stage.sampling, stage.prompts)
        self.test = with_room(self.policy, found["test"], stage.sampling, stage.test_prompts)
        shared = {a.prompt.messages for a in self.train} & {a.prompt.messages for a in self.test}
        self.note = (
            f"{len(self.train)} of {len(found['data'])} training prompts and {len(self.test)} of "
            f"{len(found['test'])} held-out ones are used; {len(shared)} are in both"
        )

    @cached_property
    def reward(self) -> RewardSource:
        """What selects."""
        return self._source(self.stage.reward)

    @cached_property
    def truth(self) -> RewardSource:
        """What measures."""
        return self.reward if self.stage.truth is None else self._source(self.stage.truth)

    def _source(self, reward: str | AnyReward) -> RewardSource:
        setting = Setting.asking(
            [a.problem or a.prompt for a in (*self.train, *self.test)],
            context=self.context,
            policy=self.policy,
            sampling=self.stage.sampling,
            seed=self.context.seed.child("reward"),
        )
        return as_spec(reward).source(setting)

    def sampled(self, own: Round, path: str) -> list[Rating]:
        """A round's sampled replies with their scores; those that were cut off are left out."""

        def make() -> list[Rating]:
            return self.rated(self.asked(load_policy(path), self.train, own.seed.child("sample")))

        return kept_records(own.folder / "samples.jsonl", Rating, make)

    def asked(self, policy: Policy, asked: Sequence[Asked], seed: Seed) -> list[list[Reply]]:
        """The stage's number of replies to each prompt."""
        return answers(policy, asked, self.stage.sampling, n=self.stage.samples, seed=seed)

    def rated(self, replies: Sequence[Sequence[Reply]]) -> list[Rating]:
        """Replies with their scores; one that was cut off would teach to stop in mid-sentence."""
        values = score(self.reward, replies)
        return [
            Rating(prompt=reply.prompt, response=reply.text, value=float(value))
            for own, scores in zip(replies, values, strict=True)
            for reply, value in zip(own, scores, strict=True)
            if reply.finish != "length" and reply.text
        ]

    def measured(self, own: Round, path: str) -> Measured:
        """How a round's policy does on the held-out prompts."""

        def make() -> Measured:
            policy, stage = load_policy(path), self.stage
            seed = self.context.seed.child("measure")
            return measure(
                policy, self.test, self.truth, stage.sampling, tries=stage.tries, seed=seed
            )

        return kept_value(own.folder / "measured.json", Measured, make)


class Chosen(NamedTuple):
    """What a round sampled, and what it imitates."""

    prompts: int
    """How many were asked."""
    samples: list[Rating]
    """The replies that end."""
    kept: list[Rating]
    further: int
    """How many of the kept were not sampled plainly."""

    def estimates(self, number: int, threshold: float) -> list[NamedEstimate]:
        """Acceptance by prompt, and how long and how various the accepted replies are."""
        solved = len(by_prompt([s for s in self.samples if s.value >= threshold]))
        found = {f"accepted_prompts/round-{number}": proportion(solved, self.prompts)}
        clusters = [repr(kept.prompt.messages) for kept in self.kept]
        if len(set(clusters)) > 1:
            words = [len(kept.response.split()) for kept in self.kept]
            found[f"accepted_words/round-{number}"] = mean_estimate(words, clusters=clusters)
        return [estimate.named(name) for name, estimate in found.items()]


def _chosen_table(chosen: Sequence[Chosen], threshold: float) -> Table:
    rows = tuple(
        (
            number,
            len(own.samples),
            sum(s.value >= threshold for s in own.samples),
            len(by_prompt(own.kept)),
            len(own.kept),
            own.further,
            len(distinct(own.kept)),
        )
        for number, own in enumerate(chosen, start=1)
    )
    columns = ("round", "replies that end", "right", "prompts imitated", "imitated")
    return Table(
        title="What each round imitated",
        columns=(*columns, "with a hint", "distinct texts"),
        rows=rows,
    )


def grown(config: TrainConfig, growth: float, number: int, examples: int) -> TrainConfig:
    """A loop whose steps grow from round to round, with as many epochs as they need.

    Args:
        config: `max_steps` are the steps of the first round; None for what the epochs give.
        growth: how much longer each round is than the one before it, as a share.
        number: of the round, from 1.
        examples: to train on.
    """
    per_epoch = math.ceil(examples / config.batch_size)
    first = config.max_steps or per_epoch * config.epochs
    steps = round(first * (1 + growth) ** (number - 1))
    return config.model_copy(update={"max_steps": steps, "epochs": math.ceil(steps / per_epoch)})
