"""Makes a small world: its model, its corpus, its prompts."""

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from fairlead.constitution.reading import PACKAGED, load_constitution
from fairlead.constitution.scripted import wordings
from fairlead.core.results import StageResult
from fairlead.data.chat import ChatFormat
from fairlead.models.loading import save_policy
from fairlead.models.policy import Policy
from fairlead.pipeline.facts import answers_to, facts, verdicts_on
from fairlead.pipeline.stage import Context, Stage
from fairlead.records.files import write_records
from fairlead.testbeds.assistant import DEMONSTRATOR, AssistantWorld, ReplyRates
from fairlead.testbeds.assistant.model import CONTEXT


class TestbedStage(Stage):
    """Writes `corpus`, `demonstrations`, `train` and `test` prompts, and an untrained model."""

    __test__ = False

    kind: Literal["testbed"] = "testbed"
    world: Literal["assistant"] = "assistant"
    """Which world."""
    corpus: PositiveInt = 12_000
    """Documents to pretrain on."""
    demonstrations: PositiveInt = 3_000
    """Replies of a mediocre demonstrator, for SFT."""
    train_prompts: PositiveInt = 1_500
    """Prompts to label and to train on."""
    test_prompts: PositiveInt = 300
    """Prompts that no stage trains on."""
    speaker: ReplyRates = DEMONSTRATOR
    """Who demonstrates: how often it does what."""
    red_team: bool = False
    """Write `red-team.jsonl`, every harmful request that no stage trains on."""
    constitution: str | None = None
    """Principles whose words the model's tokenizer knows too, and those of critics and judges, so
    that it can be taught to criticise; a file, or one that comes with the package."""
    context: PositiveInt = CONTEXT
    """Longest conversation in tokens; a comparison of two replies takes about 130."""
    facts: NonNegativeInt = 0
    """Facts asked as problems, `train-facts.jsonl` and `test-facts.jsonl`, with answers to them
    (`answers.jsonl`) and verdicts on these (`verdicts.jsonl`): for self-trained verification."""

    def references(self) -> list[tuple[str, str]]:
        """The principles, where they are in a file."""
        own = self.constitution
        return [] if own is None or own in PACKAGED else [("constitution", own)]

    def run(self, context: Context) -> StageResult:
        """Everything follows from the seed."""
        world, seed, folder = AssistantWorld(), context.seed, context.folder
        words = wordings(load_constitution(self.constitution)) if self.constitution else []
        tokenizer = world.tokenizer(words, context=self.context)
        model = world.fresh_model(tokenizer, seed.child("model"))
        policy = Policy(model, tokenizer, base=f"{self.world}-{seed.root}")
        save_policy(policy, folder / "model")
        corpus = world.pretraining_corpus(self.corpus, seed.child("corpus"))
        shown = world.demonstrations(
            self.demonstrations, seed.child("demonstrations"), rates=self.speaker
        )
        write_records(folder / "corpus.jsonl", corpus)
        write_records(folder / "demonstrations.jsonl", shown)
        train = world.prompts(self.train_prompts, seed=seed.child("train"), split="train")
        test = world.prompts(self.test_prompts, seed=seed.child("test"), split="held_out")
        write_records(folder / "train.jsonl", train)
        write_records(folder / "test.jsonl", test)
        if self.red_team:
            every = world.available("held_out", "harmful")
            harmful = world.prompts(every, seed=seed, split="held_out", kinds=("harmful",))
            write_records(folder / "red-team.jsonl", harmful)
        if self.facts:
            self._facts(context, world)
        size = sum(p.numel() for p in model.parameters())
        longest = max(len(ChatFormat(tokenizer).prompt_ids(prompt)) for prompt in train)
        note = f"a from-scratch model of {size:,} parameters; prompts of at most {longest} tokens"
        return StageResult(notes=(note,))

    def _facts(self, context: Context, world: AssistantWorld) -> None:
        asked, seed = facts(world, self.facts, "train"), context.seed.child("facts")
        answers = answers_to(world, asked, 4, seed.child("answers"))
        shown = {
            "train-facts": asked,
            "test-facts": facts(world, self.facts, "held_out"),
            "answers": answers,
            "verdicts": verdicts_on(world, answers, asked, seed.child("verdicts")),
        }
        for name, records in shown.items():
            write_records(context.folder / f"{name}.jsonl", records)
