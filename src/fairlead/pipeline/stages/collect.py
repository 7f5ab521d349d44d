"""Samples replies from a policy and has people judge them in a feedback campaign."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from fairlead.core.files import read_json, write_json
from fairlead.core.results import StageResult
from fairlead.data.convert import prompts
from fairlead.feedback.selection import LEAST_RANDOM, Strategy
from fairlead.generation.sampling import Sampling
from fairlead.pipeline.drawing import few_of, with_earlier
from fairlead.pipeline.stage import Context, Stage
from fairlead.records.files import read_records, write_records

if TYPE_CHECKING:
    from fairlead.feedback.campaigns import CampaignInfo
    from fairlead.feedback.exports.settings import ExportSettings
    from fairlead.feedback.rounds import RoundState
    from fairlead.pipeline.feedback_round import AskedRound, Asking


NEW = "new"
"""Part of the round's own training labels."""


class CollectStage(Stage):
    """Opens a round of a feedback campaign and writes its labels.

    `new.jsonl` and `test.jsonl` hold the round's own, with a data card and the raw answers beside
    them; `train.jsonl` the new ones behind those of earlier rounds. The run stops until people have
    answered everything, and goes on with `--resume`; `fairlead iterate --wait` waits for them. What
    was handed out once is not handed out again.
    """

    kind: Literal["collect"] = "collect"
    policy: str
    """Who writes the replies."""
    data: str
    """Records whose prompts are answered."""
    store: str
    """Database of the feedback service: an SQLite file or postgresql://..."""
    campaign: str
    """Name, project/name or number of a campaign of pairs, rankings, thumbs or Likert scales."""
    prompts: PositiveInt | None = None
    """Prompts at most, drawn at random; None for all."""
    samples: PositiveInt = 2
    """Replies sampled for each prompt; equal and empty ones are left out."""
    budget: PositiveInt | None = None
    """Items that people get; None for all."""
    strategy: Strategy = "random"
    """Which items these are."""
    random_share: float = Field(default=LEAST_RANDOM, ge=LEAST_RANDOM, le=1)
    """Share of the budget that is drawn at random whatever the strategy."""
    rewards: tuple[str, ...] = ()
    """Reward models that the strategy goes by: the first gives margins, all of them disagree."""
    judge: str | None = None
    """Reward model whose preferences are the AI labels, for `rlthf`."""
    labels: Literal["aggregated", "each"] = "aggregated"
    """One record per item by majority, or one per answer."""
    test_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the prompts whose answers are held out."""
    earlier: str | None = None
    """Training labels of earlier rounds, put in front of the new ones."""
    sampling: Sampling = Sampling(max_new_tokens=256)
    """How replies are sampled."""
    file_fields: ClassVar[tuple[str, ...]] = ("policy", "data", "earlier", "judge")

    def references(self) -> list[tuple[str, str]]:
        """What its fields name, the reward models of its strategy among them."""
        return [*super().references(), *(("rewards", name) for name in self.rewards)]

    def run(self, context: Context) -> StageResult:
        """Asks, unless people were asked before; reads what they answered."""
        from fairlead.pipeline.feedback_round import Desk, pending

        desk = Desk.at(self.store, self.campaign)
        try:
            asked = self._asked(context, desk.campaign)
            desk.open(asked)
            state = desk.state(asked)
            if not state.complete:
                raise pending(state, self.name)
            parts = desk.export(asked, context.folder, self._export(context)).manifest["records"]
        finally:
            desk.store.close()
        new = read_records(context.folder / f"{NEW}.jsonl")
        write_records(context.folder / "train.jsonl", with_earlier(context, self.earlier, new))
        return StageResult(notes=_notes(asked, state, parts))

    def _asked(self, context: Context, campaign: "CampaignInfo") -> "AskedRound":
        """The round's items, which are sampled once: what people see must not change."""
        from fairlead.pipeline.feedback_round import AskedRound, ask

        kept = context.folder / "round-asked.json"
        if kept.exists():
            return AskedRound.model_validate(read_json(kept))
        every = prompts(context.records(self.data))
        few = few_of(every, self.prompts, context.seed.child("prompts"))
        path = context.model(self.policy)
        asked = ask(self._asking(context), path, few, campaign, context.seed.child("ask"))
        write_json(kept, asked.model_dump(mode="json"))
        return asked

    def _asking(self, context: Context) -> "Asking":
        from fairlead.pipeline.feedback_round import Asking

        return Asking(
            samples=self.samples,
            budget=self.budget,
            strategy=self.strategy,
            random_share=self.random_share,
            rewards=tuple(context.model(name) for name in self.rewards),
            judge=None if self.judge is None else context.model(self.judge),
            sampling=self.sampling,
        )

    def _export(self, context: Context) -> "ExportSettings":
        from fairlead.feedback.exports.settings import ExportSettings

        shares = {NEW: 1 - self.test_share, "test": self.test_share}
        seed = context.seed.child("split").value
        parts = {name: share for name, share in shares.items() if share}
        return ExportSettings(records=self.labels, parts=parts, seed=seed, reasons=False)


def _notes(asked: "AskedRound", state: "RoundState", parts: Mapping[str, int]) -> tuple[str, ...]:
    sizes = ", ".join(f"{name} {count}" for name, count in parts.items())
    return (
        f"campaign {state.campaign}: {state}; records: {sizes}",
        f"{len(asked.items)} of {asked.pool} items chosen by {asked.batch.strategy}; "
        f"{asked.left_out} prompts without enough different replies or room for one",
    )
