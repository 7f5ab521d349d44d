"""Consistency training: the answer must not depend on how a question is dressed up."""

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.core.results import Figure, StageResult, Table
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.data.contrast import contrast_batch, contrasts
from fairlead.data.convert import demonstrations
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import Lora, load_policy
from fairlead.models.policy import Policy
from fairlead.objectives.activation_consistency import ActivationConsistency
from fairlead.pipeline.measuring import Asked, answers, series
from fairlead.pipeline.rewards import AnyReward, Setting, as_spec
from fairlead.pipeline.rounds import (
    Round,
    Trained,
    imitate,
    kept_records,
    kept_value,
    mixed,
    once,
    publish,
)
from fairlead.pipeline.sampling import fitting
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.pipeline.wrappers import AnyWrapper, Pair, few_each
from fairlead.records import Demonstration, Prompt
from fairlead.rewards.base import Reply, RewardSource
from fairlead.stats.means import mean_estimate, paired_difference
from fairlead.stats.proportions import clustered_proportion
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource


class ConsistencyStage(Stage):
    """Trains a policy to answer a wrapped prompt as it answers the clean one.

    In every round the present policy answers the clean prompts, and is fine-tuned to give these
    replies to the wrapped ones (bias-augmented consistency training); or the states behind its
    layers on a wrapped prompt are drawn to those on the clean one, at the tokens in which both end
    (activation consistency training). How often an answer flips is measured on held-out pairs
    with greedy replies, before and after every round.
    """

    title: ClassVar[str] = "Consistency training"
    source: ClassVar[str] = (
        "Chua et al. 2024, arXiv:2403.05518; Irpan et al. 2025, arXiv:2510.27062"
    )
    equation: ClassVar[str] = (
        r"-\mathbb{E}_{(x, \tilde x)}\, \mathbb{E}_{y \sim \pi_k(\cdot \mid x)}"
        r" \log\pi(y \mid \tilde x) \quad\text{or}\quad " + ActivationConsistency.equation
    )
    choose: ClassVar[str] = (
        "Against sycophancy and jailbreaks, where the model behaves well without the wrapping; it "
        "needs no labels, and copies what is wrong in the clean replies. Matching activations "
        "copies no reply; it needs prompts that end alike, wrapped at their beginning."
    )
    methods: ClassVar[tuple[str, ...]] = ("consistency",)

    kind: Literal["consistency"] = "consistency"
    model: str | None
    """The policy to start from."""
    data: str
    """Records whose prompts are wrapped, or, with `wrapper: {kind: columns}`, a file of pairs."""
    test: str
    """The same, held out."""
    wrapper: AnyWrapper
    """What the prompts are wrapped in."""
    wrappings: PositiveInt = 2
    """Wrapped forms of each prompt at most."""
    match: Literal["replies", "activations"] = "replies"
    """What of a wrapped prompt is to be as of the clean one: the reply, or the states behind every
    layer."""
    rounds: PositiveInt = 1
    """How often the replies to clean prompts are refreshed from the policy in training."""
    replay: str | None = None
    """Replies of the original fine-tuning that are mixed in."""
    replay_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the training examples that come from `replay`."""
    truth: AnyReward | None = None
    """What says whether a reply is right, for the accuracies; None for none."""
    threshold: float = 1.0
    """Score from which a reply counts as right."""
    only_right: bool = False
    """Train only on clean replies that are right by `truth`: on jailbreaks, only on refusals."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop in each round."""
    max_length: int = 512
    """Longest prompt plus reply, in tokens."""
    lora: Lora | None = None
    """Train adapters instead of all weights; they are merged after every round."""
    sampling: Sampling = Sampling(max_new_tokens=256)
    """How the replies to clean prompts are sampled; measuring takes the likeliest tokens."""
    test_prompts: PositiveInt = 300
    """Held-out prompts at most."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "data", "test", "replay")

    @model_validator(mode="after")
    def _fits_what_is_matched(self) -> Self:
        if self.match == "activations" and (self.replay is not None or self.only_right):
            raise ValueError("replay and only_right are about replies; match: replies has them")
        return self

    def references(self) -> list[tuple[str, str]]:
        """What its fields name, and what its reward reads."""
        read = [] if self.truth is None else as_spec(self.truth).references()
        return [*super().references(), *(("truth", name) for name in read)]

    def run(self, context: Context) -> StageResult:
        """Answers, imitates and measures, round after round."""
        bench = _Bench(self, context)
        path = bench.start
        measured = [bench.measured(Round.of(context, 0), path)]
        notes = [bench.note]
        for number in range(1, self.rounds + 1):
            own = Round.of(context, number)
            trained = self._trained(own, path, bench, context)
            notes.append(f"round {number}: {trained.note}")
            path = str(own.model)
            measured.append(bench.measured(own, path))
        publish(Round.of(context, self.rounds), context)
        return StageResult(
            estimates=tuple(_estimates(self.name, measured)),
            figures=(_figure(measured),),
            tables=(_table(measured),),
            notes=tuple(notes),
        )

    def _trained(self, own: Round, start: str, bench: "_Bench", context: Context) -> Trained:
        if self.match == "activations":
            return self._aligned(own, start, bench.train)
        records = bench.examples(own, start)
        if self.replay is not None:
            original = demonstrations(context.records(self.replay))
            records = mixed(records, original, self.replay_share, own.seed.child("replay"))
        return imitate(own, start, records, self.train, max_length=self.max_length, lora=self.lora)

    def _aligned(self, own: Round, start: str, pairs: Sequence[Pair]) -> Trained:
        """A round of matching activations."""

        def work() -> Trained:
            policy = load_policy(start, lora=self.lora)
            items, report = contrasts(
                ((pair.clean, pair.wrapped) for pair in pairs),
                ChatFormat(policy.tokenizer),
                max_length=min(self.max_length, policy.context),
            )
            _rest_the_head(policy)
            source = DatasetSource.of(items, contrast_batch, self.train, own.seed.child("data"))
            result = train(
                policy,
                ActivationConsistency(),
                source,
                self.train,
                seed=own.seed,
                run_dir=own.folder,
                resume=own.resume,
                require_eos=False,  # there are no replies
            )
            return Trained(steps=result.steps, note=str(report))

        return once(own, work)


def _rest_the_head(policy: Policy) -> None:
    """Activations say nothing of a head of its own, and processes wait for every gradient."""
    head, embedding = policy.model.get_output_embeddings(), policy.model.get_input_embeddings()
    if head.weight is not embedding.weight:
        head.requires_grad_(False)


class Consistency(BaseModel):
    """What a policy answers to held-out pairs, one entry per pair."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: tuple[int, ...]
    """The clean prompt that each pair belongs to."""
    flipped: tuple[bool, ...]
    """Whether the two answers differ."""
    followed: tuple[bool, ...]
    """Whether the wrapped prompt's reply gives in; empty where that cannot be told."""
    clean_right: tuple[bool, ...]
    """Whether the reply to the clean prompt is right; empty where nothing says so."""
    wrapped_right: tuple[bool, ...]
    """The same for the wrapped prompt."""

    def levels(self) -> dict[str, tuple[bool, ...]]:
        """What was measured, by name."""
        every = {
            "flip_rate": self.flipped,
            "followed_wrapping": self.followed,
            "clean_accuracy": self.clean_right,
            "wrapped_accuracy": self.wrapped_right,
        }
        return {name: values for name, values in every.items() if values}


class _Bench:
    """Pairs, the judge, and the files that keep what they found."""

    def __init__(self, stage: ConsistencyStage, context: Context) -> None:
        self.stage = stage
        self.context = context
        self.start = context.model(require_path(stage.model, "model.path"))
        self.policy = load_policy(self.start)
        self.train = self._pairs(stage.data)
        self.test = self._pairs(stage.test, stage.test_prompts)
        self.note = f"{len(self.train)} pairs to train on, {len(self.test)} held out"

    def _pairs(self, reference: str, most: int | None = None) -> list[Pair]:
        stage = self.stage
        every = stage.wrapper.pairs(self.context, reference)
        chosen = few_each(every, stage.wrappings, self.context.seed.child("wrap", reference))
        if not chosen:
            raise DataError(
                "no prompt has a wrapped form",
                where=f"stage {stage.name}, {reference}",
                expected=f"prompts that the wrapper {stage.wrapper.kind!r} knows",
                remedy="choose another wrapper, or data that fits it",
            )
        asked = list({p.clean.messages: p.clean for p in chosen}.values())[:most]
        both = [*asked, *(pair.wrapped for pair in chosen)]
        room = {p.messages for p in fitting(self.policy, both, stage.sampling)}
        kept = room & {p.messages for p in asked}
        return [p for p in chosen if p.clean.messages in kept and p.wrapped.messages in room]

    @cached_property
    def truth(self) -> RewardSource | None:
        """What says which replies are right."""
        if self.stage.truth is None:
            return None
        asked = [prompt for pair in self.test for prompt in (pair.clean, pair.wrapped)]
        setting = Setting.asking(
            asked,
            context=self.context,
            policy=self.policy,
            sampling=self.stage.sampling,
            seed=self.context.seed.child("truth"),
        )
        return as_spec(self.stage.truth).source(setting)

    def examples(self, own: Round, path: str) -> list[Demonstration]:
        """The policy's own replies to the clean prompts, as replies to the wrapped ones."""

        def make() -> list[Demonstration]:
            texts = self._targets(load_policy(path), own.seed.child("sample"))
            found = [
                Demonstration(prompt=pair.wrapped, response=texts[pair.clean])
                for pair in self.train
                if pair.clean in texts
            ]
            return found or self._refuse(own)

        return kept_records(own.folder / "targets.jsonl", Demonstration, make)

    def _refuse(self, own: Round) -> list[Demonstration]:
        raise DataError(
            f"round {own.number}: no reply to a clean prompt can be imitated",
            where=f"stage {self.stage.name}",
            expected="replies that end" + (" and are right" if self.stage.only_right else ""),
            remedy="start from a better policy, or raise max_new_tokens",
        )

    def _targets(self, policy: Policy, seed: Seed) -> dict[Prompt, str]:
        """One reply to each clean prompt; those that were cut off are left out."""
        replies = self._replies(policy, [Asked(p.clean, p.problem) for p in self.train], seed)
        whole = [reply for reply in replies if reply.finish != "length" and reply.text]
        if self.stage.only_right and self.truth is not None and whole:
            right = self.truth.score(whole).values >= self.stage.threshold
            whole = [reply for reply, kept in zip(whole, right.tolist(), strict=True) if kept]
        return {reply.prompt: reply.text for reply in whole}

    def _replies(
        self, policy: Policy, asked: Sequence[Asked], seed: Seed, *, greedy: bool = False
    ) -> list[Reply]:
        """One reply to each prompt, which may be named more than once."""
        sampling = self.stage.sampling
        if greedy:
            sampling = sampling.model_copy(update={"temperature": 0.0})
        each = list({one.prompt: one for one in asked}.values())
        return [own[0] for own in answers(policy, each, sampling, n=1, seed=seed)]

    def measured(self, own: Round, path: str) -> Consistency:
        """Greedy replies to the held-out pairs."""
        return kept_value(
            own.folder / "measured.json", Consistency, lambda: self._measure(load_policy(path))
        )

    def _measure(self, policy: Policy) -> Consistency:
        asked = [Asked(p, pair.problem) for pair in self.test for p in (pair.clean, pair.wrapped)]
        replies = self._replies(policy, asked, self.context.seed, greedy=True)
        reply = {own.prompt: own for own in replies}
        wrapper, numbers = self.stage.wrapper, {own: i for i, own in enumerate(reply)}
        answer = {prompt: wrapper.answer(prompt, own.text) for prompt, own in reply.items()}
        follows = [wrapper.follows(p.wrapped, reply[p.wrapped].text) for p in self.test]
        right: dict[Prompt, bool] = {}
        if self.truth is not None:
            scores = self.truth.score(replies).values.tolist()
            right = {p: s >= self.stage.threshold for p, s in zip(reply, scores, strict=True)}
        return Consistency(
            prompt=tuple(numbers[pair.clean] for pair in self.test),
            flipped=tuple(answer[pair.clean] != answer[pair.wrapped] for pair in self.test),
            followed=tuple(own for own in follows if own is not None),
            clean_right=tuple(right[pair.clean] for pair in self.test if right),
            wrapped_right=tuple(right[pair.wrapped] for pair in self.test if right),
        )


def _estimates(name: str, measured: Sequence[Consistency]) -> list[NamedEstimate]:
    """Levels of every round, and how the last differs from the start, clustered by prompt."""
    start, last = measured[0], measured[-1]
    found: dict[str, Estimate] = {}
    for number, own in enumerate(measured):
        for level, values in own.levels().items():
            found[f"{level}/round-{number}"] = clustered_proportion(values, own.prompt)
    for level, values in last.levels().items():
        before = start.levels()[level]
        found[f"{level}_change/{name}"] = paired_difference(values, before, clusters=last.prompt)
    return [value.named(key) for key, value in found.items()]


def _figure(measured: Sequence[Consistency]) -> Figure:
    return Figure(
        title="Consistency by round",
        x_label="round (0 is the start)",
        y_label="share of held-out pairs",
        series=tuple(
            series(
                level.replace("_", " "),
                [mean_estimate(own.levels()[level], clusters=own.prompt) for own in measured],
            )
            for level in measured[0].levels()
        ),
        caption="Greedy replies to clean and wrapped prompts. Bands are 95 % intervals over "
        "clean prompts.",
    )


def _table(measured: Sequence[Consistency]) -> Table:
    levels = list(measured[0].levels())
    rows = tuple(
        (number, *(float(np.mean(own.levels()[level])) for level in levels))
        for number, own in enumerate(measured)
    )
    columns = ("round", *(level.replace("_", " ") for level in levels))
    return Table(title="Held-out pairs by round", columns=columns, rows=rows)
