"""STaR: bootstrapping reasoning with reasoning."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import NonNegativeFloat

from fairlead.core.errors import DataError
from fairlead.data.chat import ChatFormat
from fairlead.models.loading import load_policy
from fairlead.pipeline.hints import Hints
from fairlead.pipeline.measuring import Asked
from fairlead.pipeline.rounds import Round, kept_records
from fairlead.pipeline.self_training import Bench, SelfTraining, grown
from fairlead.records import Problem, Rating
from fairlead.training.config import TrainConfig


class StarStage(SelfTraining):
    """Imitates its own right solutions, and those to which it had to be told the answer.

    Where no sampled reply to a problem is right, the answer is given as a hint in the prompt.
    Replies that then reach it are imitated without the hint, unless they quote it. Each round
    starts from the base weights and takes a few more steps than the one before it. The data are
    problems with their answers.
    """

    title: ClassVar[str] = "STaR: self-taught reasoner"
    source: ClassVar[str] = "Zelikman et al. 2022, arXiv:2203.14465"
    equation: ClassVar[str] = (
        r"\max_\pi \sum_i \log\pi(r_i, a_i \mid x_i), \quad (r_i, a_i) \sim "
        r"\pi_{k-1}(\cdot \mid x_i) \text{ or } \pi_{k-1}(\cdot \mid x_i, a_i)"
    )
    choose: ClassVar[str] = (
        "For problems with known answers but without worked solutions, where plain sampling "
        "leaves many problems unsolved."
    )
    methods: ClassVar[tuple[str, ...]] = ("star",)

    kind: Literal["star"] = "star"
    hints: Hints = Hints()
    """How the answer is given away where no reply was right."""
    start: Literal["previous", "base"] = "base"
    """Weights that each round begins from: those of the round before, or `model`."""
    growth: NonNegativeFloat = 0.2
    """How much longer each round trains than the one before it, as a share of its steps."""

    def config(self, number: int, examples: int) -> TrainConfig:
        """Settings of the loop in a round: its steps grow."""
        return grown(self.train, self.growth, number, examples)

    def further(
        self, own: Round, path: str, samples: Sequence[Rating], bench: Bench
    ) -> list[Rating]:
        """Rationalised replies to the problems that no sample solved."""

        def make() -> list[Rating]:
            return self._rationalised(own, path, self._failed(samples, bench), bench)

        found = kept_records(own.folder / "rationalised.jsonl", Rating, make)
        return self.select(found, self.threshold)

    def _failed(self, samples: Sequence[Rating], bench: Bench) -> list[Problem]:
        """The problems of which no sample is right."""
        right = {s.prompt.messages for s in samples if s.value >= self.threshold}
        problems = [asked.problem for asked in bench.train if asked.problem is not None]
        if not problems:
            raise DataError(
                "hints need problems with answers, and the data holds none",
                where=f"stage {self.name}, data: {self.data}",
                expected="records of kind Problem",
                remedy="name data with answers, or use the stage expert_iteration",
            )
        return [problem for problem in problems if problem.prompt.messages not in right]

    def _rationalised(
        self, own: Round, path: str, failed: Sequence[Problem], bench: Bench
    ) -> list[Rating]:
        """Replies to hinted prompts that are right and do not quote the hint."""
        if not failed:
            return []
        policy = load_policy(path)
        hinted = [Asked(self.hints.prompt(problem), problem) for problem in failed]
        replies = bench.asked(policy, hinted, own.seed.child("hinted"))
        chat = ChatFormat(policy.tokenizer)
        plain = [
            [replace(reply, prompt=p.prompt, prompt_ids=chat.prompt_ids(p.prompt)) for reply in own]
            for p, own in zip(failed, replies, strict=True)
        ]
        stated = {problem.prompt.messages: problem for problem in failed}
        return [
            rating
            for rating in bench.rated(plain)
            if rating.value >= self.threshold
            and not self.hints.quoted(stated[rating.prompt.messages], rating.response)
        ]
