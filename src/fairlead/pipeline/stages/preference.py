"""Optimises a policy directly on what people preferred, without a reward model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal, Self, Union

import torch
from pydantic import Field, PositiveFloat, model_validator

from fairlead.core.estimates import Estimate
from fairlead.core.results import StageResult
from fairlead.data.batches import mismatches, unpaired_batch
from fairlead.data.chat import ChatFormat, EncodingReport, Item, encode
from fairlead.data.convert import preferences, step_comparisons, thumbs
from fairlead.data.judgements import Judged, judged, judged_batch
from fairlead.models.loading import Lora, load_policy
from fairlead.models.policy import Policy
from fairlead.models.reference import reference_logps, sequence_logps
from fairlead.objectives import OBJECTIVES, Batch, Need, Objective, UnpairedBatch
from fairlead.objectives.batch import PreferenceBatch
from fairlead.objectives.dpo import DPO
from fairlead.objectives.pairs import PairObjective
from fairlead.pipeline.implicit_rewards import pair_accuracy, thumb_separation
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.records import Comparison, Ranking, Rating, Record, StepLabels
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource


def _is_offline(objective: type[Objective]) -> bool:
    """Whether it trains a policy on judged replies that are there beforehand."""
    if Need.LOGPS not in objective.needs or Need.ROLLOUTS in objective.needs:
        return False
    if issubclass(objective, PairObjective):
        return not objective.judges
    return objective.batch is UnpairedBatch


OFFLINE = tuple(objective for objective in OBJECTIVES.values() if _is_offline(objective))
"""Objectives on comparisons, or on replies judged one by one."""

AnyPreference = Annotated[
    Union[OFFLINE],  # pyright: ignore  # noqa: UP007 - of a tuple made at run time
    Field(discriminator="kind"),
]


@dataclass(frozen=True)
class _Judged:
    """Replies that somebody judged, with their scores under the reference by record."""

    records: Sequence[Comparison | Ranking | Rating]
    items: list[Item]
    report: EncodingReport
    reference: dict[int, list[float]] = field(default_factory=dict[int, list[float]])


class PreferenceStage(Stage):
    """Trains on comparisons, rankings, pairs of steps or single judged replies.

    The reference is the model it starts from unless named; objectives without one never load it.
    Objectives on single replies take ratings, and both sides of comparisons. Judged steps become
    pairs of next steps (Step-DPO).
    """

    kind: Literal["preference"] = "preference"
    model: str | None
    """The policy to start from, usually an SFT stage."""
    reference: str | None = None
    """Another reference; None for the starting policy."""
    data: str
    """Comparisons, rankings, ratings or judged steps."""
    test: str | None = None
    """Held-out records of the same sort, for the accuracy of the implicit reward."""
    objective: AnyPreference = DPO()  # pyright: ignore[reportInvalidTypeForm]
    """Which method, by its `kind` (dpo if not given), and its settings."""
    source_weights: dict[Literal["human", "ai"], PositiveFloat] = Field(default_factory=dict)
    """How much comparisons by people and by models count; 1 for those not named. Not for objectives
    on single replies."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop."""
    max_length: int = 512
    """Longest prompt plus reply, in tokens; longer prompts lose their beginning."""
    lora: Lora | None = None
    """Train adapters instead of all weights; the reference is the model without them."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "reference", "data", "test")

    @model_validator(mode="before")
    @classmethod
    def _is_dpo_unless_named(cls, values: Any) -> Any:
        """Settings of an objective without its kind are those of DPO."""
        given = values.get("objective") if isinstance(values, dict) else None
        if not isinstance(given, dict) or "kind" in given:
            return values
        return values | {"objective": {"kind": "dpo"} | given}

    @model_validator(mode="after")
    def _weighs_pairs(self) -> Self:
        if self.source_weights and self.objective.batch is UnpairedBatch:
            kind: str = self.objective.kind
            raise ValueError(f"source_weights are for comparisons; {kind} takes single replies")
        return self

    def run(self, context: Context) -> StageResult:
        """Scores the reference once, trains, and measures on held-out judgements."""
        path = context.model(require_path(self.model, "model.path"))
        policy = load_policy(path, lora=self.lora)
        reference = self._reference(context, path)
        chat = ChatFormat(policy.tokenizer)
        length = min(self.max_length, policy.context)
        data = self._judged(context, self.data, chat, length, reference)
        tested = self.test and self._judged(context, self.test, chat, length, reference)
        collate = self._collate(context, data, length, reference)
        # The reference is needed for its scores only: it does not stay in memory.
        del reference
        train(
            policy,
            self.objective,
            DatasetSource.of(data.items, collate, self.train, context.seed.child("data")),
            self.train,
            seed=context.seed,
            run_dir=context.folder,
            resume=context.resume,
            require_eos=not all(record.prompt.continues for record in data.records),
            starts_at_reference=self.reference is None,
        )
        notes = (f"training data: {data.report}",)
        if not tested:
            return StageResult(notes=notes)
        measured = self._measured(context, policy, tested)
        return measured.model_copy(update={"notes": (*notes, *measured.notes)})

    def _reference(self, context: Context, path: str) -> Policy | None:
        if Need.REFERENCE not in self.objective.needs:
            return None
        return load_policy(context.model(self.reference or path))

    def _judged(
        self,
        context: Context,
        data: str,
        chat: ChatFormat,
        length: int,
        reference: Policy | None,
    ) -> _Judged:
        records = self._converted(context.records(data))
        items, report = encode(records, chat, max_length=length)
        return _Judged(records, items, report, self._scores(context, items, reference))

    def _converted(self, records: Sequence[Record]) -> Sequence[Comparison | Ranking | Rating]:
        if self.objective.batch is UnpairedBatch:
            return thumbs(records)
        if any(isinstance(record, StepLabels) for record in records):
            return step_comparisons(records)
        return preferences(records)

    def _scores(
        self, context: Context, items: Sequence[Item], reference: Policy | None
    ) -> dict[int, list[float]]:
        """Reference log-probabilities of the replies, by record; none without a reference."""
        if reference is None:
            return {}
        tokens, cache = self.train.microbatch_tokens, context.folder / "reference"
        sums = reference_logps(reference, items, tokens=tokens, cache=cache)
        return {item.record: own for item, own in zip(items, sums, strict=True)}

    def _collate(
        self, context: Context, data: _Judged, length: int, reference: Policy | None
    ) -> Callable[[Sequence[Item]], Batch]:
        """How items become a microbatch of the objective's sort."""
        if self.objective.batch is not UnpairedBatch:
            return self._collate_pairs(data, reference is not None)
        swapped = mismatches(data.items, context.seed.child("partners"), max_length=length)
        others = {item.record: item for item in swapped}
        scores = self._scores(context, swapped, reference)
        return lambda group: unpaired_batch(
            group,
            desirable=lambda item: _is_desirable(data, item),
            reference=lambda item: data.reference[item.record][0],
            mismatched=lambda item: others[item.record],
            mismatched_reference=lambda item: scores[item.record][0],
        )

    def _collate_pairs(
        self, data: _Judged, referenced: bool
    ) -> Callable[[Sequence[Item]], PreferenceBatch]:
        """Pairs with the probability of their labels and the weight of their source."""
        said = [
            Judged() if isinstance(r, Rating) else judged(r, source_weights=self.source_weights)
            for r in data.records
        ]

        def collate(group: Sequence[Item]) -> PreferenceBatch:
            batch = judged_batch(group, said)
            if not referenced:
                return batch
            known = [value for item in group for value in data.reference[item.record]]
            return replace(batch, reference=torch.tensor(known, dtype=torch.float32))

        return collate

    def _measured(self, context: Context, policy: Policy, tested: _Judged) -> StageResult:
        """How well the implicit reward agrees with held-out judgements."""
        sums = sequence_logps(policy.eval(), tested.items, tokens=self.train.microbatch_tokens)
        before = [tested.reference.get(i.record, [0.0] * len(i.responses)) for i in tested.items]
        prompts = [tested.records[item.record].prompt.first_user_turn for item in tested.items]
        held_out = f"held-out data: {tested.report}"
        if isinstance(self.objective, PairObjective):
            accuracy = pair_accuracy(self.objective, tested.items, before, sums, prompts)
            found = {"implicit_accuracy": accuracy}
        else:
            found = self._separations(context, tested, before, sums, prompts)
        named = (estimate.named(f"{self.name}/{name}") for name, estimate in found.items())
        return StageResult(estimates=tuple(named), notes=(held_out,))

    def _separations(
        self,
        context: Context,
        tested: _Judged,
        before: list[list[float]],
        after: list[list[float]],
        prompts: list[str],
    ) -> dict[str, Estimate]:
        """How the implicit reward, and length alone, tell desirable replies from others."""
        gains = [new[0] - old[0] for old, new in zip(before, after, strict=True)]
        lengths = [len(item.responses[0]) for item in tested.items]
        desirable = [_is_desirable(tested, item) for item in tested.items]
        seed = context.seed.child("intervals")
        return {
            "implicit_auc": thumb_separation(gains, desirable, prompts, seed),
            "baseline_length_auc": thumb_separation(lengths, desirable, prompts, seed),
        }


def _is_desirable(data: _Judged, item: Item) -> bool:
    record = data.records[item.record]
    assert isinstance(record, Rating)
    return record.value > 0
