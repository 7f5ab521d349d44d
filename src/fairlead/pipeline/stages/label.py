"""Samples replies from a policy and has simulated annotators compare them."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.data.convert import prompts
from fairlead.generation.sampling import Sampling
from fairlead.models.loading import load_policy
from fairlead.pipeline.drawing import few_of, with_earlier
from fairlead.pipeline.sampling import sample_texts
from fairlead.pipeline.stage import Context, Stage
from fairlead.records import Comparison
from fairlead.records.files import write_records
from fairlead.testbeds.annotators import Annotator, accuracy_ceiling, label
from fairlead.testbeds.assistant import AssistantWorld


class LabelStage(Stage):
    """Writes `train.jsonl` and `test.jsonl` comparisons, and the best accuracy they allow."""

    kind: Literal["label"] = "label"
    policy: str
    """Who writes the replies."""
    train: str
    """Prompts of the training comparisons."""
    test: str
    """Prompts of the held-out comparisons."""
    prompts: PositiveInt | None = None
    """Prompts of the training comparisons at most, drawn at random; None for all."""
    earlier: str | None = None
    """Training comparisons of earlier rounds, put in front of the new ones."""
    samples: PositiveInt = Field(default=4, ge=2)
    """Replies per prompt."""
    pairs: PositiveInt = 2
    """Pairs judged per prompt."""
    annotators: tuple[Annotator, ...] = (Annotator(name="careful"),)
    """Who judges; each pair goes to one of them at random."""
    sampling: Sampling = Sampling(max_new_tokens=32)
    """How replies are sampled."""
    file_fields: ClassVar[tuple[str, ...]] = ("policy", "train", "test", "earlier")

    def run(self, context: Context) -> StageResult:
        """Samples, labels, and computes the ceiling from the annotators' known noise."""
        notes: list[str] = []
        held_out: list[Comparison] = []
        for part, reference in (("train", self.train), ("test", self.test)):
            held_out = self._part(context, reference, context.seed.child(part), part, notes)
        ceiling = accuracy_ceiling(AssistantWorld(), self.annotators, held_out)
        named = ceiling.named("reward_model/accuracy_ceiling")
        return StageResult(estimates=(named,), notes=tuple(notes))

    def _part(
        self, context: Context, reference: str, seed: Seed, part: str, notes: list[str]
    ) -> list[Comparison]:
        policy = load_policy(context.model(self.policy))
        asked = prompts(context.records(reference))
        if part == "train":
            asked = few_of(asked, self.prompts, seed.child("prompts"))
        texts = sample_texts(
            policy, asked, self.sampling, n=self.samples, seed=seed.child("sample")
        )
        labels = label(
            AssistantWorld(),
            asked,
            texts,
            self.annotators,
            seed.child("label"),
            pairs_per_prompt=self.pairs,
        )
        earlier = self.earlier if part == "train" else None
        records = with_earlier(context, earlier, labels.comparisons)
        write_records(context.folder / f"{part}.jsonl", records)
        notes.append(
            f"{part}: {len(labels.comparisons)} comparisons; "
            f"{labels.identical} pairs of identical replies left out"
            + (f"; {len(records) - len(labels.comparisons)} of earlier rounds" if earlier else "")
        )
        return labels.comparisons
