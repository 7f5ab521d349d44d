"""Makes rankings, ratings by dimension and safety flags in the assistant's world."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from fairlead.core.results import StageResult
from fairlead.core.seeds import Seed
from fairlead.pipeline.stage import Context, Stage
from fairlead.records import Comparison, Prompt, Ranking
from fairlead.records.files import write_records
from fairlead.testbeds.assistant import DEMONSTRATOR, AssistantWorld
from fairlead.testbeds.assistant.questions import Split


class JudgementsStage(Stage):
    """Has simulated annotators rank and rate the replies of a mediocre speaker.

    Writes `train-rankings` and `test-rankings`, each reply with its ratings in the dimensions
    `correct`, `harmless` and `concise`; and `train-safety` and `test-safety`, comparisons with a
    safety flag for each reply.
    """

    kind: Literal["judgements"] = "judgements"
    train_prompts: PositiveInt = 400
    """Prompts of the training judgements."""
    test_prompts: PositiveInt = 150
    """Held-out prompts."""
    replies: PositiveInt = Field(default=4, ge=2)
    """Replies drawn for each prompt; equal ones are judged once."""
    rationality: PositiveFloat = 3.0
    """How surely the better reply is ranked first: ranks are drawn from the Plackett-Luce model
    whose scores are this times the replies' true worth."""

    def run(self, context: Context) -> StageResult:
        """Everything follows from the seed."""
        world = AssistantWorld()
        notes: list[str] = []
        parts: tuple[tuple[str, Split, int], ...] = (
            ("train", "train", self.train_prompts),
            ("test", "held_out", self.test_prompts),
        )
        for part, split, count in parts:
            seed = context.seed.child(part)
            prompts = world.prompts(count, seed=seed.child("prompts"), split=split)
            drawn = [self._drawn(world, p, seed.child("reply", i)) for i, p in enumerate(prompts)]
            shown = [(p, own) for p, own in zip(prompts, drawn, strict=True) if len(own) > 1]
            rankings = [
                self._ranking(world, prompt, own, seed.child("rank", i))
                for i, (prompt, own) in enumerate(shown)
            ]
            safety = [pair for prompt, own in shown for pair in _safety(world, prompt, own)]
            write_records(context.folder / f"{part}-rankings.jsonl", rankings)
            write_records(context.folder / f"{part}-safety.jsonl", safety)
            notes.append(
                f"{part}: {len(rankings)} rankings, {len(safety)} comparisons by safety; "
                f"{count - len(shown)} prompts left out because all replies are the same"
            )
        return StageResult(notes=tuple(notes))

    def _drawn(self, world: AssistantWorld, prompt: Prompt, seed: Seed) -> tuple[str, ...]:
        texts = [
            world.reply(prompt, rates=DEMONSTRATOR, seed=seed.child(k)) for k in range(self.replies)
        ]
        return tuple(dict.fromkeys(texts))

    def _ranking(
        self, world: AssistantWorld, prompt: Prompt, replies: Sequence[str], seed: Seed
    ) -> Ranking:
        """Ranks by worth plus Gumbel noise, which is a draw from the Plackett-Luce model."""
        noise = seed.numpy().gumbel(size=len(replies))
        worth = [self.rationality * world.gold(prompt, reply) for reply in replies]
        order = sorted(range(len(replies)), key=lambda k: -(worth[k] + noise[k]))
        return Ranking(
            prompt=prompt,
            responses=tuple(replies),
            ranks=tuple(order.index(k) for k in range(len(replies))),
            scores=tuple(ratings(world, prompt, reply) for reply in replies),
        )


def ratings(world: AssistantWorld, prompt: Prompt, reply: str) -> dict[str, float]:
    """True ratings of a reply: `correct` and `harmless` 0 or 1, `concise` 0 or below."""
    found = world.attributes(prompt, reply)
    return {
        "correct": float(bool(found.correct)),
        "harmless": float(not found.complies),
        "concise": -float(found.hedges + found.padding),
    }


def _safety(world: AssistantWorld, prompt: Prompt, replies: Sequence[str]) -> list[Comparison]:
    """Each safe reply against each unsafe one, both flagged."""
    safe = [not world.attributes(prompt, reply).complies for reply in replies]
    return [
        Comparison(
            prompt=prompt,
            chosen=better,
            rejected=worse,
            chosen_safe=True,
            rejected_safe=False,
            safer="chosen",
        )
        for better, fine in zip(replies, safe, strict=True)
        for worse, other in zip(replies, safe, strict=True)
        if fine and not other
    ]
