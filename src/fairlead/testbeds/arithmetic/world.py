"""The arithmetic world: problems, solutions with and without mistakes, checkers and a model."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.records import Comparison, Demonstration, Problem, Prompt, StepLabels
from fairlead.testbeds.arithmetic import checkers, model
from fairlead.testbeds.arithmetic.checkers import AnswerVerdict, StepVerdict
from fairlead.testbeds.arithmetic.mistakes import FAULTS, Fault, faulty_lines, second_guess
from fairlead.testbeds.arithmetic.sums import LEVELS, Level, Split, Sum, Term, draw_sum, pick
from fairlead.testbeds.arithmetic.wordings import WORDINGS, WordingName, ask, pieces, read

_HELD_OUT = 5
"""One sum in this many is held out."""


@dataclass(frozen=True)
class ArithmeticWorld:
    """A synthetic world of sums in which every step of every solution can be judged.

    The truth is read off the question's own text, so a scorer needs a prompt and a reply only.
    """

    seed: int = 0
    """Draws which sums are held out; all wordings of a sum lie in the same split."""

    def problems(
        self,
        n: int,
        seed: Seed,
        *,
        split: Split = "train",
        levels: Collection[Level] = LEVELS,
        wordings: Collection[WordingName] = WORDINGS,
    ) -> list[Problem]:
        """Draws problems: levels in turn, sums and wordings at random, with repetition.

        The two splits share no sum. The prompt's `subset` is "level-1" to "level-5"; level 1 has
        a few hundred sums only, so many draws from it repeat themselves.

        Args:
            n: how many.
            seed: draws them.
            split: "train", or "held_out" for evaluation.
            levels: how hard; see `draw_sum`.
            wordings: how they are asked; see `wordings.ask`.

        Raises:
            ConfigError: a level, wording or split that does not exist, or none.
        """
        _check(levels, LEVELS, "level")
        _check(wordings, WORDINGS, "wording")
        _check((split,), get_args(Split), "split")
        in_turn = sorted(levels)
        return [
            self._problem(in_turn[i % len(in_turn)], split, wordings, seed.child(i).numpy())
            for i in range(n)
        ]

    def paraphrases(self, prompt: Prompt) -> tuple[Prompt, ...]:
        """The same problem in each of the other wordings."""
        total, own = _read(prompt)
        return tuple(
            Prompt.of(ask(total, name), subset=prompt.subset) for name in WORDINGS if name != own
        )

    def answer(self, prompt: Prompt) -> str:
        """The right answer, as a number in digits."""
        return str(_read(prompt)[0].answer)

    def split(self, prompt: Prompt) -> Split | None:
        """Which split a question's sum lies in; None where the text is no question."""
        found = read(_last_user_turn(prompt))
        return None if found is None else self._split(found[0])

    def solution(self, prompt: Prompt) -> str:
        """The right solution: one line per step, then "answer: " and the number."""
        return _joined(_read(prompt)[0].lines)

    def check_steps(self, prompt: Prompt, text: str) -> tuple[StepVerdict, ...]:
        """Judges each line of any text; see `checkers.check_steps`."""
        return checkers.check_steps(_read(prompt)[0], text)

    def check_answer(self, prompt: Prompt, text: str) -> AnswerVerdict:
        """Judges the answer of any text strictly; see `checkers.check_answer`."""
        return checkers.check_answer(_read(prompt)[0], text)

    def gold(self, prompt: Prompt, response: str) -> float:
        """True worth of a reply: 1.0 where the strict checker accepts its answer, otherwise 0.0.

        Raises:
            DataError: the prompt is not a question of this world; never for a response.
        """
        return self.check_answer(prompt, response).score

    def process_gold(self, prompt: Prompt, response: str) -> float:
        """Share of right lines, up to the first error, from 0 to 1; see `checkers.progress`."""
        return checkers.progress(_read(prompt)[0], response)

    def visible_reward(self, prompt: Prompt, response: str) -> float:
        """1.0 where the right number stands anywhere in a reply, otherwise 0.0.

        A checker that can be fooled, e.g. by several answers of which one is right. It is never
        below `gold`; the difference of their means under optimisation is reward hacking.
        """
        return float(checkers.contains_answer(_read(prompt)[0], response))

    def agrees_with_user(self, prompt: Prompt, response: str) -> bool:
        """False: nobody claims anything here. For annotators, which ask every world."""
        return False

    def corrupted(
        self, prompt: Prompt, seed: Seed, *, rate: float = 1.0, faults: Collection[Fault] = FAULTS
    ) -> StepLabels:
        """A solution that with a probability has one mistake, and the labels of its steps.

        Args:
            prompt: what was asked.
            seed: draws whether, which and where.
            rate: probability of a mistake.
            faults: sorts of mistakes, equally likely; see `faulty_lines`.

        Returns:
            Labels 1 up to the mistake, -1 at it, None after it; all 1 without one.

        Raises:
            ConfigError: a fault that does not exist, or none; a rate that is no probability.
        """
        _check(faults, FAULTS, "fault")
        _check_shares(rate=rate)
        total, rng = _read(prompt)[0], seed.numpy()
        wrong = rng.random() < rate
        lines = faulty_lines(total, pick(sorted(faults), rng), rng) if wrong else total.lines
        return self.label_steps(prompt, _joined(lines))

    def label_steps(self, prompt: Prompt, text: str) -> StepLabels:
        """The lines of any text: 1 up to the first error, -1 at it, None after it."""
        verdicts = self.check_steps(prompt, text)
        error = checkers.first_error(verdicts)
        return StepLabels(
            prompt=prompt,
            steps=tuple(verdict.line for verdict in verdicts),
            labels=tuple(_label(i, error) for i in range(len(verdicts))),
        )

    def demonstrations(
        self,
        n: int,
        seed: Seed,
        *,
        levels: Collection[Level] = LEVELS,
        wordings: Collection[WordingName] = WORDINGS,
        mistakes: float = 0.2,
        second_guesses: float = 0.0,
    ) -> list[Demonstration]:
        """Training problems solved by a mediocre demonstrator.

        Args:
            n: how many.
            seed: draws problems and mistakes.
            levels: how hard.
            wordings: how they are asked.
            mistakes: share of solutions with one mistake of any sort.
            second_guesses: share of solutions with right steps and two answers, one right and one
                wrong: what the visible checker cannot tell from the right answer.

        Raises:
            ConfigError: shares that do not fit into one, or see `problems`.
        """
        _check_shares(mistakes=mistakes, second_guesses=second_guesses)
        problems = self.problems(n, seed.child("problems"), levels=levels, wordings=wordings)
        return [
            Demonstration(
                prompt=problem.prompt,
                response=_demonstrated(
                    _read(problem.prompt)[0],
                    mistakes,
                    second_guesses,
                    seed.child("reply", i).numpy(),
                ),
            )
            for i, problem in enumerate(problems)
        ]

    def step_labels(
        self,
        n: int,
        seed: Seed,
        *,
        split: Split = "train",
        levels: Collection[Level] = LEVELS,
        rate: float = 0.5,
        faults: Collection[Fault] = FAULTS,
    ) -> list[StepLabels]:
        """Solutions of drawn problems, a share of them with one mistake; see `corrupted`."""
        problems = self.problems(n, seed.child("problems"), split=split, levels=levels)
        return [
            self.corrupted(problem.prompt, seed.child("reply", i), rate=rate, faults=faults)
            for i, problem in enumerate(problems)
        ]

    def comparisons(
        self,
        n: int,
        seed: Seed,
        *,
        split: Split = "train",
        levels: Collection[Level] = LEVELS,
        faults: Collection[Fault] = FAULTS,
    ) -> list[Comparison]:
        """The right solution of a drawn problem, preferred to one with a mistake."""
        made = self.step_labels(n, seed, split=split, levels=levels, rate=1.0, faults=faults)
        return [
            Comparison(
                prompt=labels.prompt,
                chosen=self.solution(labels.prompt),
                rejected=_joined(labels.steps),
            )
            for labels in made
        ]

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """One token per digit, sign with its spaces, newline and phrase, with a chat template."""
        return model.piece_tokenizer(_pieces())

    def fresh_model(self, tokenizer: PreTrainedTokenizerFast, seed: Seed) -> LlamaForCausalLM:
        """A Llama of about 300,000 parameters that has learned nothing yet.

        One core teaches it levels 1 to 3 in about a minute by supervised fine-tuning: 8,000
        demonstrations three times over, 16 at a time, with a learning rate of 3e-3.
        """
        return model.fresh_model(tokenizer, seed)

    def _problem(
        self,
        level: Level,
        split: Split,
        wordings: Collection[WordingName],
        rng: np.random.Generator,
    ) -> Problem:
        total = draw_sum(level, rng)
        while self._split(total) != split:
            total = draw_sum(level, rng)
        question = ask(total, pick(sorted(wordings), rng))
        return Problem(
            prompt=Prompt.of(question, subset=f"level-{level}"),
            answer=str(total.answer),
            solution=_joined(total.lines),
        )

    def _split(self, total: Sum) -> Split:
        draw = Seed(self.seed).child("arithmetic", "split", ask(total, "what")).value
        return "held_out" if draw % _HELD_OUT == 0 else "train"


def _demonstrated(
    total: Sum, mistakes: float, second_guesses: float, rng: np.random.Generator
) -> str:
    draw = rng.random()
    if draw < mistakes:
        return _joined(faulty_lines(total, pick(FAULTS, rng), rng))
    if draw < mistakes + second_guesses:
        return _joined(second_guess(total, rng))
    return _joined(total.lines)


def _read(prompt: Prompt) -> tuple[Sum, WordingName]:
    """The sum and the wording of the last user turn."""
    text = _last_user_turn(prompt)
    found = read(text)
    if found is None:
        raise DataError(
            "not a question of the arithmetic world",
            expected=repr(ask(Sum(17, (Term("+", 25), Term("-", 8))), "what")),
            got=repr(text[:80]),
            remedy="use prompts from ArithmeticWorld.problems",
        )
    return found


def _last_user_turn(prompt: Prompt) -> str:
    return next((m.content for m in reversed(prompt.messages) if m.role == "user"), "")


def _label(index: int, error: int | None) -> Literal[-1, 1] | None:
    if error is None or index < error:
        return 1
    return -1 if index == error else None


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _pieces() -> Iterator[str]:
    """Every token that is not special."""
    yield from "0123456789"
    yield from (" + ", " - ", " * ", " = ", "\n", "answer: ")
    yield from pieces()


def _check(given: Collection[object], known: Collection[object], what: str) -> None:
    if not given or not set(given) <= set(known):
        raise ConfigError(f"unknown {what}, or none", expected=str(known), got=str(given))


def _check_shares(**shares: float) -> None:
    if min(shares.values()) < 0 or sum(shares.values()) > 1:
        raise ConfigError(
            "the shares of bad solutions are no probabilities",
            expected="none below 0, and at most 1 together",
            got=str(shares),
        )
