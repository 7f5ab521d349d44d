"""Trains a policy to compare two replies, and measures how often and how fairly it does."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from fairlead.core.estimates import Estimate
from fairlead.core.results import StageResult
from fairlead.data.batches import preference_batch
from fairlead.data.chat import ChatFormat, Item
from fairlead.data.convert import preferences
from fairlead.data.verdicts import VerdictFormat, verdict_items
from fairlead.models.loading import Lora, load_policy
from fairlead.models.policy import Policy
from fairlead.objectives.pairwise_generative import PairwiseGenerative
from fairlead.pipeline.stage import Context, Stage, require_path
from fairlead.records import Comparison, Ranking
from fairlead.rewards.preference import verdict_probabilities
from fairlead.stats.proportions import clustered_proportion
from fairlead.training.config import TrainConfig
from fairlead.training.loop import train
from fairlead.training.source import DatasetSource


class CompareStage(Stage):
    """A generative reward model: shown two replies, the policy names the better one by a token.

    Every comparison is learned in both orders. Its model is a policy; as a reward it is the kind
    `pairwise_generative`.
    """

    kind: Literal["compare"] = "compare"
    model: str | None
    """The policy to start from, usually an SFT stage."""
    data: str
    """Comparisons or rankings."""
    test: str | None = None
    """Held-out comparisons, for accuracy and position bias."""
    objective: PairwiseGenerative = PairwiseGenerative()
    """Settings of the objective."""
    verdict: VerdictFormat = VerdictFormat()
    """How replies are shown, and the words that name the better one."""
    train: TrainConfig = TrainConfig()
    """Settings of the loop; each order of a comparison counts as an example."""
    max_length: int = 1024
    """Longest question, in tokens; longer ones are left out and counted."""
    lora: Lora | None = None
    """Train adapters instead of all weights."""
    file_fields: ClassVar[tuple[str, ...]] = ("model", "data", "test")

    def run(self, context: Context) -> StageResult:
        """Trains, and measures on held-out comparisons in both orders."""
        policy = load_policy(context.model(require_path(self.model, "model.path")), lora=self.lora)
        items, note = self._items(policy, two_by_two(preferences(context.records(self.data))))
        source = DatasetSource.of(items, preference_batch, self.train, context.seed.child("data"))
        train(
            policy,
            self.objective,
            source,
            self.train,
            seed=context.seed,
            run_dir=context.folder,
            resume=context.resume,
            require_eos=False,
        )
        notes = (f"training data: {note}",)
        if self.test is None:
            return StageResult(notes=notes)
        asked = two_by_two(preferences(context.records(self.test)))
        tested, note = self._items(policy, asked)
        chances = verdict_probabilities(policy, tested, tokens=self.train.microbatch_tokens)
        groups = [asked[item.record].prompt.first_user_turn for item in tested[::2]]
        estimates = _estimates(chances[::2], chances[1::2], groups)
        return StageResult(
            notes=(*notes, f"held-out comparisons: {note}"),
            estimates=tuple(e.named(n) for n, e in estimates.items()),
        )

    def _items(self, policy: Policy, records: list[Comparison]) -> tuple[list[Item], str]:
        length = min(self.max_length, policy.context)
        chat = ChatFormat(policy.tokenizer)
        items, too_long = verdict_items(records, chat, self.verdict, max_length=length)
        return items, f"{len(items) // 2} comparisons in both orders; {too_long} left out, too long"


def two_by_two(records: Sequence[Comparison | Ranking]) -> list[Comparison]:
    """Comparisons as they are, and rankings as all their untied pairs."""
    made: list[Comparison] = []
    for record in records:
        if isinstance(record, Comparison):
            made.append(record)
            continue
        made += [
            Comparison(prompt=record.prompt, chosen=better, rejected=worse)
            for better, rank in zip(record.responses, record.ranks, strict=True)
            for worse, other in zip(record.responses, record.ranks, strict=True)
            if rank < other
        ]
    return made


def _estimates(
    chosen_first: Sequence[float], chosen_second: Sequence[float], groups: list[str]
) -> dict[str, Estimate]:
    """Accuracy with both orders averaged, and how often the place alone decides.

    Args:
        chosen_first: probability of the first option where the better reply is shown first.
        chosen_second: the same where it is shown second.
        groups: the opening prompt of each comparison.
    """
    both = list(zip(chosen_first, chosen_second, strict=True))
    right = [(one + 1 - two) / 2 > 0.5 for one, two in both]
    turned = [(one > 0.5) == (two > 0.5) for one, two in both]
    return {
        "judge/accuracy": clustered_proportion(right, groups),
        "judge/position_decides": clustered_proportion(turned, groups),
    }
