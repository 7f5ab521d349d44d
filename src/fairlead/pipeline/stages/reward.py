"""Trains a reward model and measures it on held-out comparisons."""

from typing import ClassVar, Literal

from fairlead.data.batches import preference_batch
from fairlead.data.chat import Item, encode
from fairlead.data.convert import preferences
from fairlead.lineage.result import StageResult
from fairlead.models.loading import new_reward_model, save_reward_model
from fairlead.models.processes import is_first
from fairlead.models.reward_model import RewardModel
from fairlead.objectives.bradley_terry import BradleyTerry
from fairlead.pipeline.reward_accuracy import measure
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.rewards.model import score_items
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource


class RewardStage(Stage):
    """Fits a Bradley-Terry score; its mean on preferred training replies is set to 0."""

    kind: Literal["reward"] = "reward"
    model: str | None
    """A base model, an SFT stage, or an encoder."""
    data: str
    """Comparisons or rankings."""
    test: str | None = None
    """Held-out comparisons."""
    objective: BradleyTerry = BradleyTerry()
    """Settings of the objective."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop."""
    max_length: int = 512
    """Longest prompt plus reply, in tokens; longer prompts lose their beginning."""
    pooling: Literal["auto", "last", "mean"] = "auto"
    """How a sequence becomes one vector: the last token (decoders) or the mean (encoders)."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "data", "test")

    def run(self, context: Context) -> StageResult:
        """Trains, centres the score, and measures accuracy beside length-only baselines."""
        path = context.model(require_path(self.model, "model.path"))
        model = new_reward_model(path, pooling=self.pooling, seed=context.seed.child("head"))
        length = min(self.max_length, model.context)
        records = preferences(context.records(self.data))
        items, report = encode(records, model.chat_format(), max_length=length)
        source = DatasetSource.of(
            items,
            lambda group: preference_batch(group, share_prompts=model.shares_prompts),
            self.train,
            context.seed.child("data"),
        )
        train(
            model,
            self.objective,
            source,
            self.train,
            seed=context.seed,
            run_dir=context.folder,
            resume=context.resume,
        )
        self._centre(model, items)
        if is_first():
            save_reward_model(model, context.folder / "model")
        notes = (f"training data: {report}",)
        if self.test is None:
            return StageResult(notes=notes)
        measured = measure(model, preferences(context.records(self.test)), max_length=length)
        return StageResult(
            notes=(*notes, *measured.notes),
            estimates=measured.estimates,
            tables=measured.tables,
        )

    def _centre(self, model: RewardModel, items: list[Item]) -> None:
        """Sets the mean score of the preferred training replies to 0."""
        scores = score_items(model, items, tokens=self.train.microbatch_tokens)
        best = [
            float(s[item.ranks.index(min(item.ranks))])
            for s, item in zip(scores, items, strict=True)
        ]
        model.offset.fill_(float(model.offset) + sum(best) / len(best))
