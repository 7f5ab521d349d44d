"""Direct preference optimisation of a policy on comparisons."""

from typing import ClassVar, Literal

from fairlead.core.estimates import Estimate, NamedEstimate
from fairlead.data.batches import preference_batch
from fairlead.data.chat import ChatFormat, Item, encode
from fairlead.data.convert import preferences
from fairlead.lineage.result import StageResult
from fairlead.models.loading import Lora, load_policy
from fairlead.models.reference import reference_logps, sequence_logps
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
        length = min(self.max_length, policy.context)
        chat = ChatFormat(policy.tokenizer)
        records = preferences(context.records(self.data))
        items, report = encode(records, chat, max_length=length)
        asked = preferences(context.records(self.test)) if self.test else []
        tested = encode(asked, chat, max_length=length)[0] if asked else []
        # The reference is needed for its scores only: it does not stay in memory.
        known, before = self._reference_scores(context, path, items, tested)
        source = DatasetSource.of(
            items,
            lambda group: preference_batch(group, reference=lambda item: known[item.record]),
            self.train,
            context.seed.child("data"),
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
        if not tested:
            return StageResult(notes=notes)
        after = sequence_logps(policy.eval(), tested, tokens=self.train.microbatch_tokens)
        groups = [asked[item.record].prompt.first_user_turn for item in tested]
        accuracy = _implicit_accuracy(tested, list(before.values()), after, groups)
        named = NamedEstimate(name=f"{self.name}/implicit_accuracy", **accuracy.model_dump())
        return StageResult(notes=notes, estimates=(named,))

    def _reference_scores(
        self, context: Context, path: str, *sets: list[Item]
    ) -> list[dict[int, list[float]]]:
        """For each set of items: reference log-probabilities of the replies, by record."""
        reference = load_policy(context.model(self.reference or path))
        scored: list[dict[int, list[float]]] = []
        for items in sets:
            sums = reference_logps(
                reference,
                items,
                tokens=self.train.microbatch_tokens,
                cache=context.folder / "reference",
            )
            scored.append({item.record: own for item, own in zip(items, sums, strict=True)})
        return scored


def _implicit_accuracy(
    items: list[Item], before: list[list[float]], after: list[list[float]], groups: list[str]
) -> Estimate:
    """How often the gain in log-probability over the reference sides with the annotator."""
    right: list[bool] = []
    of_pair: list[str] = []
    for item, old, new, group in zip(items, before, after, groups, strict=True):
        gain = [a - b for a, b in zip(new, old, strict=True)]
        for i, better in enumerate(item.ranks):
            for j, worse in enumerate(item.ranks):
                if better < worse:
                    right.append(gain[i] > gain[j])
                    of_pair.append(group)
    return clustered_proportion(right, of_pair)
