"""Makes the world of sums: its model, problems, solutions and judged steps."""

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from fairlead.core.results import StageResult
from fairlead.data.chat import ChatFormat
from fairlead.models.loading import save_policy
from fairlead.models.policy import Policy
from fairlead.pipeline.stage import Context, Stage
from fairlead.pipeline.task_worlds import ArithmeticTasks
from fairlead.records.files import write_records
from fairlead.testbeds.arithmetic import ArithmeticWorld, Level, Split


class ArithmeticStage(Stage):
    """Writes `demonstrations`, `train` and `test` problems, judged steps, and an untrained model.

    Steps are `train-steps.jsonl` and `test-steps.jsonl`, solutions with at most one mistake;
    comparisons of a right with a wrong solution are `train-pairs.jsonl` and `test-pairs.jsonl`.
    """

    kind: Literal["arithmetic"] = "arithmetic"
    levels: tuple[Level, ...] = (1, 2, 3)
    """How hard the sums are, from 1 to 5."""
    demonstrations: PositiveInt = 8_000
    """Solutions of a mediocre demonstrator, for SFT."""
    mistakes: float = Field(default=0.2, ge=0, le=1)
    """Share of the demonstrations with a mistake."""
    second_guesses: float = Field(default=0.0, ge=0, le=1)
    """Share of the demonstrations with two answers, which only a strict checker refuses."""
    requests: NonNegativeInt = 0
    """Requests for a sum, answered by a question, among the demonstrations: for self-play."""
    train_problems: PositiveInt = 1_500
    """Problems to train on."""
    test_problems: PositiveInt = 300
    """Problems with sums that no stage trains on."""
    steps: NonNegativeInt = 2_000
    """Judged solutions, and as many comparisons; a fifth as many held out."""

    def run(self, context: Context) -> StageResult:
        """Everything follows from the seed."""
        world, seed, folder = ArithmeticWorld(), context.seed, context.folder
        tokenizer = world.tokenizer()
        model = world.fresh_model(tokenizer, seed.child("model"))
        save_policy(Policy(model, tokenizer, base=f"arithmetic-{seed.root}"), folder / "model")
        shown = world.demonstrations(
            self.demonstrations,
            seed.child("demonstrations"),
            levels=self.levels,
            mistakes=self.mistakes,
            second_guesses=self.second_guesses,
        )
        if self.requests:
            tasks = ArithmeticTasks(self.levels)
            shown += tasks.demonstrations(self.requests, seed.child("requests"))
        write_records(folder / "demonstrations.jsonl", shown)
        train = world.problems(self.train_problems, seed.child("train"), levels=self.levels)
        test = world.problems(
            self.test_problems, seed.child("test"), split="held_out", levels=self.levels
        )
        write_records(folder / "train.jsonl", train)
        write_records(folder / "test.jsonl", test)
        if self.steps:
            self._judged(context, world)
        size = sum(p.numel() for p in model.parameters())
        chat = ChatFormat(tokenizer)
        longest = max(len(chat.prompt_ids(problem.prompt)) for problem in train)
        reply = max(len(chat.response_ids(p.prompt, p.solution)[1]) for p in train)
        note = (
            f"a from-scratch model of {size:,} parameters; prompts of at most {longest} tokens, "
            f"solutions of at most {reply}"
        )
        return StageResult(notes=(note,))

    def _judged(self, context: Context, world: ArithmeticWorld) -> None:
        self._part(context, world, "train", "train", self.steps)
        self._part(context, world, "test", "held_out", max(self.steps // 5, 1))

    def _part(
        self, context: Context, world: ArithmeticWorld, part: str, split: Split, count: int
    ) -> None:
        seed = context.seed.child("steps", part)
        steps = world.step_labels(count, seed, split=split, levels=self.levels)
        pairs = world.comparisons(count, seed.child("pairs"), split=split, levels=self.levels)
        write_records(context.folder / f"{part}-steps.jsonl", steps)
        write_records(context.folder / f"{part}-pairs.jsonl", pairs)
