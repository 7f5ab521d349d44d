"""What a reward model learns from: records as items, and what is known of each beside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import TypeAdapter

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.chat import Item, encode
from fairlead.data.convert import preferences
from fairlead.data.judgements import (
    SourceWeights,
    judged,
    judged_batch,
    rated_rankings,
    safety_comparisons,
)
from fairlead.data.steps import (
    Neutral,
    StepItem,
    encode_steps,
    judged_steps,
    outcomes,
    step_batch,
)
from fairlead.models.heads import AnyHead, Dimensions
from fairlead.models.reward_model import RewardModel
from fairlead.objectives import Batch, Objective
from fairlead.records import Comparison, Provenance, Ranking, Record, StepLabels

Labels = Literal["steps", "outcome"]
Diversity = Literal["seeds", "folds", "groups"]

_HEADS: TypeAdapter[AnyHead] = TypeAdapter(AnyHead)


@dataclass(frozen=True)
class TrainingSet:
    """Tokenised examples and how a microbatch is made of them."""

    items: Sequence[Item]
    collate: Callable[[Sequence[Item]], Batch]
    records: Sequence[Comparison | Ranking | StepLabels]
    """What the items were made from; `Item.record` is the place here."""
    notes: tuple[str, ...]

    def only(self, kept: Callable[[Comparison | Ranking | StepLabels], bool]) -> "TrainingSet":
        """The part made from some of the records."""
        items = [item for item in self.items if kept(self.records[item.record])]
        return replace(self, items=items)


def compared(
    records: Sequence[Record], objective: str
) -> tuple[list[Comparison | Ranking], tuple[str, ...]]:
    """Comparisons and rankings as an objective takes them, and notes on what was left out.

    A cost model gets comparisons by safety; several ratings of one prompt become a ranking.
    """
    if objective == "cost_model":
        turned, silent = safety_comparisons(records)
        return list(turned), (f"{silent} records do not say which reply is safer",)
    return preferences(rated_rankings(records)), ()


def preference_set(
    model: RewardModel,
    records: Sequence[Record],
    objective: str,
    *,
    length: int,
    scale: float,
    source_weights: SourceWeights | None = None,
) -> TrainingSet:
    """Comparisons and rankings with strengths, safety flags and ratings.

    Args:
        model: its tokenizer makes the items, its head names the dimensions.
        records: the data as it was read.
        objective: kind of the objective.
        length: longest prompt plus reply.
        scale: margin per unit of strength.
        source_weights: how much judgements of people and of models count; all alike if None.
    """
    chosen, notes = compared(records, objective)
    items, report = encode(chosen, model.chat_format(), max_length=length)
    names = model.settings.names if isinstance(model.settings, Dimensions) else ()
    known = [
        judged(record, margin_scale=scale, dimensions=names, source_weights=source_weights)
        for record in chosen
    ]

    def collate(group: Sequence[Item]) -> Batch:
        return judged_batch(group, known, share_prompts=model.shares_prompts)

    return TrainingSet(items, collate, chosen, (f"training data: {report}", *notes))


def stepped(records: Sequence[Record], labels: Labels) -> list[StepLabels]:
    """Judged solutions, step by step or as a whole."""
    return judged_steps(records) if labels == "steps" else outcomes(records)


def step_set(
    model: RewardModel,
    records: Sequence[Record],
    *,
    length: int,
    labels: Labels,
    neutral: Neutral,
) -> TrainingSet:
    """Judged solutions.

    Raises:
        ConfigError: an encoder is to judge steps, where every step would see the ones after it.
    """
    if labels == "steps" and model.pooling == "mean":
        raise ConfigError(
            "an encoder cannot judge steps: each would see what comes after it",
            expected="a causal model",
            got="pooling: mean",
            remedy="use a decoder, or set labels: outcome",
        )
    chosen = stepped(records, labels)
    chat = model.chat_format()
    items, report = encode_steps(chosen, chat, max_length=length, neutral=neutral)

    def collate(group: Sequence[Item]) -> Batch:
        own = [item for item in group if isinstance(item, StepItem)]
        return step_batch(own, share_prompts=model.shares_prompts)

    return TrainingSet(items, collate, chosen, (f"training data: {report}",))


def head_for(objective: Objective, given: AnyHead | None, records: Sequence[Record]) -> AnyHead:
    """The head that a recipe names, or the one that the objective asks for.

    A head with dimensions that nobody named takes those that the data rates.
    """
    if given is not None:
        return given
    kind: str = getattr(type(objective), "head", "scalar")
    if kind != "dimensions":
        return _HEADS.validate_python({"kind": kind})
    rated = {
        name
        for record in rated_rankings(records)
        if isinstance(record, Ranking)
        for own in record.scores
        for name in own
    }
    return Dimensions(names=tuple(sorted(rated))) if rated else Dimensions()


def member_part(
    whole: TrainingSet, diversity: Diversity, member: int, members: int, seed: Seed
) -> TrainingSet:
    """What one member of an ensemble is trained on.

    Folds: all but one part of the opening prompts, another one for each member. Groups: the
    judgements of some of the annotators. Seeds: everything.

    Raises:
        ConfigError: the data names too few annotators.
    """
    if members == 1 or diversity == "seeds":
        return whole
    if diversity == "folds":
        openings = sorted({record.prompt.first_user_turn for record in whole.records})
        order = seed.child("folds").numpy().permutation(len(openings))
        fold = {openings[i]: place % members for place, i in enumerate(order.tolist())}
        return whole.only(lambda record: fold[record.prompt.first_user_turn] != member)
    names = sorted({name for record in whole.records if (name := _annotator(record))})
    if len(names) < members:
        raise ConfigError(
            "there are fewer annotators in the data than members of the ensemble",
            expected=f"at least {members} annotators, named in the records' provenance",
            got=", ".join(names) or "none",
            remedy="choose fewer members, or set diversity: folds or seeds",
        )
    mine = set(names[member::members])
    return whole.only(lambda record: _annotator(record) in mine)


def _annotator(record: Comparison | Ranking | StepLabels) -> str:
    of_prompt: Provenance | None = record.prompt.provenance
    provenance = record.judged_by if isinstance(record, Comparison) else of_prompt
    return (provenance.annotator or "") if provenance is not None else ""
