"""Trains a reward model of any family and measures it on held-out judgements."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self, Union

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from fairlead.core.errors import ConfigError
from fairlead.core.estimates import NamedEstimate
from fairlead.core.results import StageResult
from fairlead.data.chat import Item, encode
from fairlead.data.judgements import judged
from fairlead.data.steps import Neutral
from fairlead.models.heads import AnyHead
from fairlead.models.loading import Lora, new_reward_model, save_reward_model
from fairlead.models.processes import is_first
from fairlead.models.reward_model import RewardModel
from fairlead.objectives import OBJECTIVES, Need, StepBatch
from fairlead.objectives.bradley_terry import BradleyTerry
from fairlead.pipeline.reward_accuracy import Accuracy, joint_log_odds, log_odds, measure
from fairlead.pipeline.reward_training import (
    Diversity,
    Labels,
    TrainingSet,
    compared,
    head_for,
    member_part,
    preference_set,
    step_set,
    stepped,
)
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.pipeline.step_accuracy import measure_steps
from fairlead.records import Comparison, Ranking, Record
from fairlead.rewards.model import score_items
from fairlead.stats.proportions import clustered_proportion
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource

FITTED = tuple(objective for objective in OBJECTIVES.values() if hasattr(objective, "head"))
"""Objectives that fit a reward model."""

AnyFit = Annotated[
    Union[FITTED],  # pyright: ignore  # noqa: UP007 - of a tuple made at run time
    Field(discriminator="kind"),
]


CENTRED_ON = 1000
"""Preferred replies, spread over the training set, whose mean score becomes 0."""


class RewardStage(Stage):
    """Fits a reward model; the objective says to what, and brings the head it needs.

    Scores are shifted so that their mean on preferred training replies is 0; costs are not, since
    their zero is the border of safety.
    """

    kind: Literal["reward"] = "reward"
    model: str | None
    """A base model, an SFT stage, or an encoder."""
    data: str
    """Comparisons, rankings, several ratings per prompt, or solutions judged in steps."""
    test: str | None = None
    """Held-out judgements of the same kind."""
    objective: AnyFit = BradleyTerry()  # pyright: ignore[reportInvalidTypeForm]
    """Settings of the objective."""
    head: AnyHead | None = None
    """What is read off the hidden states; None for what the objective asks for."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop."""
    max_length: int = 512
    """Longest prompt plus reply, in tokens; longer prompts lose their beginning."""
    pooling: Literal["auto", "last", "mean"] = "auto"
    """How a sequence becomes one vector: the last token (decoders) or the mean (encoders)."""
    margin_scale: NonNegativeFloat = 0.0
    """Margin per unit of the comparisons' strength (Touvron et al. 2023, arXiv:2307.09288); 0 for
    none. With margins losses do not compare with those without; accuracies do."""
    source_weights: dict[Literal["human", "ai"], PositiveFloat] = Field(default_factory=dict)
    """How much judgements of people and of models count; 1 for those not named."""
    labels: Labels = "steps"
    """For process rewards: judge every step, or (an outcome reward model) the last one alone."""
    neutral: Neutral = "right"
    """For process rewards: a neutral step counts as right, or is skipped."""
    normalise: Literal["auto", "centre", "none"] = "auto"
    """Shift the scores to mean 0 on preferred replies; auto: all but costs."""
    members: PositiveInt = 1
    """Models of an ensemble, each with a trunk of its own: `model`, `member-1/model`, ... For
    several heads on one trunk choose the head `ensemble`."""
    diversity: Diversity = "seeds"
    """How members differ: by seed alone, by a fold of the data that each does without, or by the
    annotators whose judgements each sees."""
    lora: Lora | None = None
    """Train adapters and the head instead of all weights; saved with the adapters added in."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "data", "test")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.normalise == "centre" and self.objective.kind == "cost_model":
            raise ValueError("a cost model must keep its zero: leave normalise out")
        if self.members > 1 and self.objective.batch is StepBatch:
            raise ValueError("ensembles are for models that score whole replies: members must be 1")
        return self

    def run(self, context: Context) -> StageResult:
        """Trains every member, centres its scores, and measures what they say together."""
        path = context.model(require_path(self.model, "model.path"))
        records = context.records(self.data)
        models: list[RewardModel] = []
        notes: tuple[str, ...] = ()
        for member in range(self.members):
            model, notes = self._member(context, path, records, member)
            models.append(model)
        if self.test is None:
            return StageResult(notes=notes)
        measured = self._measured(models, context.records(self.test))
        return StageResult(
            notes=(*notes, *measured.notes),
            estimates=measured.estimates,
            tables=measured.tables,
        )

    def _member(
        self, context: Context, path: str, records: Sequence[Record], member: int
    ) -> tuple[RewardModel, tuple[str, ...]]:
        seed = context.seed if member == 0 else context.seed.child("member", member)
        folder = context.folder if member == 0 else context.folder / f"member-{member}"
        head = head_for(self.objective, self.head, records)
        model = new_reward_model(
            path, pooling=self.pooling, head=head, lora=self.lora, seed=seed.child("head")
        )
        model.require(self.objective.needs, where=f"stage {self.name}, head")
        whole = self._training_set(model, records)
        part = member_part(whole, self.diversity, member, self.members, context.seed)
        source = DatasetSource.of(part.items, part.collate, self.train, seed.child("data"))
        train(
            model,
            self.objective,
            source,
            self.train,
            seed=seed,
            run_dir=folder,
            resume=context.resume,
        )
        if self._centres(model):
            self._centre(model, part.items)
        if is_first():
            save_reward_model(model, folder / "model")
        return model, part.notes

    def _training_set(self, model: RewardModel, records: Sequence[Record]) -> TrainingSet:
        length = min(self.max_length, model.context)
        if self.objective.batch is StepBatch:
            return step_set(model, records, length=length, labels=self.labels, neutral=self.neutral)
        kind: str = self.objective.kind
        whole = preference_set(
            model,
            records,
            kind,
            length=length,
            scale=self.margin_scale,
            source_weights=self.source_weights,
        )
        if kind == "multi_objective":
            _check_rated(whole, model)
        return whole

    def _centres(self, model: RewardModel) -> bool:
        if self.normalise == "none" or Need.REWARDS not in model.head.gives:
            return False
        return self.objective.kind != "cost_model"

    def _centre(self, model: RewardModel, items: Sequence[Item]) -> None:
        """Sets the mean score of preferred training replies to 0."""
        some = items[:: -(-len(items) // CENTRED_ON)]
        tops = [item.responses[item.ranks.index(min(item.ranks))] for item in some]
        best = [replace(i, responses=(top,), ranks=(0,)) for i, top in zip(some, tops, strict=True)]
        scores = score_items(model, best, tokens=self.train.microbatch_tokens)
        model.offset.fill_(float(model.offset) + float(torch.cat(scores).mean()))

    def _measured(self, models: list[RewardModel], records: Sequence[Record]) -> Accuracy:
        length = min(self.max_length, models[0].context)
        if self.objective.batch is StepBatch:
            judged_solutions = stepped(records, self.labels)
            return measure_steps(
                models[0],
                judged_solutions,
                max_length=length,
                neutral=self.neutral,
                labels=self.labels,
            )
        kind: str = self.objective.kind
        tested, notes = compared(records, kind)
        costs = kind == "cost_model"
        temperature: float = getattr(self.objective, "temperature", 1.0)
        comparers = [log_odds(m, temperature=temperature, costs=costs) for m in models]
        together = joint_log_odds(comparers)
        found = measure(models[0], tested, max_length=length, compare=together)
        signs = _sign_accuracy(models[0], tested, length) if costs else ()
        return Accuracy((*found.estimates, *signs), found.tables, (*found.notes, *notes))


def _check_rated(whole: TrainingSet, model: RewardModel) -> None:
    names = set(getattr(model.settings, "names", ()))
    rated = {
        name
        for record in whole.records
        if isinstance(record, Ranking)
        for own in record.scores
        for name in own
    }
    if not names <= rated:
        raise ConfigError(
            "the data rates no reply in some of the head's dimensions",
            where="head.names",
            expected=", ".join(sorted(rated)) or "data with ratings by dimension",
            got=", ".join(sorted(names)),
            remedy="name dimensions that the data rates, or leave the head out to take them all",
        )


def _sign_accuracy(
    model: RewardModel, records: Sequence[Comparison | Ranking], length: int
) -> tuple[NamedEstimate, ...]:
    """How often the sign of a reply's cost is that of its safety flag."""
    items, _ = encode(records, model.chat_format(), max_length=length)
    right: list[bool] = []
    groups: list[str] = []
    for item, scores in zip(items, score_items(model, items, tokens=8192), strict=True):
        flags = np.array(judged(records[item.record]).costs)
        for cost, flag in zip(scores.tolist(), flags, strict=False):
            if flag:
                right.append(cost * flag > 0)
                groups.append(records[item.record].prompt.first_user_turn)
    if not right:
        return ()
    share = clustered_proportion(right, groups)
    return (share.named("reward_model/sign_accuracy"),)
