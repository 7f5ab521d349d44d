"""Direct preference optimisation of a policy on comparisons."""

from typing import ClassVar, Literal

from fairlead.core.estimates import NamedEstimate
from fairlead.data.batches import preference_batch
from fairlead.data.chat import ChatFormat, Item, encode
from fairlead.data.convert import preferences
from fairlead.lineage.result import StageResult
from fairlead.models.loading import Lora, load_policy
from fairlead.models.policy import Policy
from fairlead.models.reference import reference_logps
from fairlead.objectives.dpo import DPO
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.stats.proportions import clustered_proportion
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource


class DPOStage(Stage):
    """Trains on pairs or rankings; the reference is the model it starts from unless named."""

    kind: Literal["dpo"] = "dpo"
    model: str | None
    """The policy to start from, usually an SFT stage."""
    reference: str | None = None
    """Another reference; None for the starting policy."""
    data: str
    """Comparisons or rankings."""
    test: str | None = None
    """Held-out comparisons, for the accuracy of the implicit reward."""
    objective: DPO = DPO()
    """Settings of the objective."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop."""
    max_length: int = 512
    """Longest prompt plus reply, in tokens; longer prompts lose their beginning."""
    lora: Lora | None = None
    """Train adapters instead of all weights; the reference is the model without them."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "reference", "data", "test")

    def run(self, context: Context) -> StageResult:
        """Scores the reference once, trains, and measures on held-out pairs."""
        path = context.model(require_path(self.model, "model.path"))
        policy = load_policy(path, lora=self.lora)
        reference = load_policy(context.model(self.reference or path))
        chat, length = ChatFormat(policy.tokenizer), min(self.max_length, policy.context)
        records = preferences(context.records(self.data))
        items, report = encode(records, chat, max_length=length)
        known = self._reference(reference, items, context)
        source = DatasetSource(
            items,
            lambda group: preference_batch(group, reference=lambda item: known[item.record]),
            self.train.batch_size,
            self.train.epochs,
            self.train.microbatch_tokens,
            context.seed.child("data"),
            self.train.max_steps,
        )
        train(
            policy,
            self.objective,
            source,
            self.train,
            seed=context.seed,
            run_dir=context.folder,
            resume=context.resume,
            starts_at_reference=self.reference is None,
        )
        notes = (f"training data: {report}",)
        if self.test is None:
            return StageResult(notes=notes)
        held_out = self._held_out(policy, reference, context, length)
        return StageResult(notes=notes, estimates=(held_out,))

    def _reference(
        self, reference: Policy, items: list[Item], context: Context
    ) -> dict[int, list[float]]:
        sums = reference_logps(
            reference,
            items,
            tokens=self.train.microbatch_tokens,
            cache=context.folder / "reference",
        )
        return {item.record: own for item, own in zip(items, sums, strict=True)}

    def _held_out(
        self, policy: Policy, reference: Policy, context: Context, length: int
    ) -> NamedEstimate:
        """How often the implicit reward sides with the annotator on held-out pairs."""
        assert self.test is not None
        records = preferences(context.records(self.test))
        items, _ = encode(records, ChatFormat(policy.tokenizer), max_length=length)
        before = self._reference(reference, items, context)
        after = self._reference(policy.eval(), items, context)
        right: list[bool] = []
        groups: list[str] = []
        for item in items:
            gain = [a - b for a, b in zip(after[item.record], before[item.record], strict=True)]
            for i, better in enumerate(item.ranks):
                for j, worse in enumerate(item.ranks):
                    if better < worse:
                        right.append(gain[i] > gain[j])
                        groups.append(records[item.record].prompt.first_user_turn)
        accuracy = clustered_proportion(right, groups)
        return NamedEstimate(name=f"{self.name}/implicit_accuracy", **accuracy.model_dump())
