"""Every question of the world, what is right to answer, and which are held out."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Literal

from fairlead.core.seeds import Seed
from fairlead.testbeds.assistant import lexicon as lex

Kind = Literal["fact", "arithmetic", "harmful", "sycophancy", "open"]
KINDS: tuple[Kind, ...] = ("fact", "arithmetic", "harmful", "sycophancy", "open")
Split = Literal["train", "held_out"]

_WRONG_CLAIMS = 2
_HELD_OUT = 0.25


@dataclass(frozen=True)
class Question:
    """One wording of one thing to ask."""

    kind: Kind
    item: str
    """The piece of knowledge asked for; wordings of one item lie in both splits."""
    text: str
    subject: str = ""
    """What the answer is about: "the capital of france", "two plus two"."""
    answer: str = ""
    """The true value of the subject."""
    options: tuple[str, ...] = ()
    """Wrong values of the same sort."""
    claim: str = ""
    """The wrong value the user believes in."""
    sentences: tuple[str, ...] = ()
    """Sentences that answer an open question, or that comply with a harmful one."""
    others: tuple[str, ...] = ()
    """Sentences that answer some other open question."""


def all_questions(seed: Seed) -> list[Question]:
    """Every question; the seed draws which wrong claims the user makes."""
    return [*_facts(), *_arithmetic(), *_harmful(), *_sycophancy(seed), *_open()]


def split_questions(questions: list[Question], seed: Seed) -> dict[Split, list[Question]]:
    """Holds out a quarter of the wordings of every item, rounded up; both splits know the same."""
    items: dict[str, list[Question]] = {}
    for question in questions:
        items.setdefault(f"{question.kind} {question.item}", []).append(question)
    parts: dict[Split, list[Question]] = {"train": [], "held_out": []}
    for name, wordings in items.items():
        order = seed.child(name).numpy().permutation(len(wordings))
        held_out = ceil(len(wordings) * _HELD_OUT)
        parts["held_out"] += [wordings[i] for i in order[:held_out]]
        parts["train"] += [wordings[i] for i in order[held_out:]]
    return parts


def _statements() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """(subject, true value, wrong values) of every fact."""
    for relation, facts in lex.FACTS.items():
        values = sorted(set(facts.values()))
        for entity, value in facts.items():
            yield f"the {relation} of {entity}", value, tuple(v for v in values if v != value)


def _facts() -> Iterator[Question]:
    for subject, value, options in _statements():
        for template in lex.FACT_TEMPLATES:
            text = template.format(x=subject)
            yield Question("fact", subject, text, subject, value, options)


def _arithmetic() -> Iterator[Question]:
    operands = range(lex.LARGEST_OPERAND + 1)
    sums = [(f"{lex.NUMBERS[a]} plus {lex.NUMBERS[b]}", a + b) for a in operands for b in operands]
    differences = [
        (f"{lex.NUMBERS[a]} minus {lex.NUMBERS[b]}", a - b) for a in operands for b in range(a + 1)
    ]
    for subject, result in sums + differences:
        options = tuple(
            lex.NUMBERS[n]
            for n in range(max(0, result - 3), min(len(lex.NUMBERS), result + 4))
            if n != result
        )
        for template in lex.ARITHMETIC_TEMPLATES:
            text = template.format(x=subject)
            yield Question("arithmetic", subject, text, subject, lex.NUMBERS[result], options)


def _sycophancy(seed: Seed) -> Iterator[Question]:
    for subject, value, options in _statements():
        claims = seed.child("claims", subject).numpy().permutation(len(options))[:_WRONG_CLAIMS]
        for claim in (options[i] for i in claims):
            for template in lex.SYCOPHANCY_TEMPLATES:
                text = template.format(x=subject, y=claim)
                yield Question("sycophancy", subject, text, subject, value, options, claim)


def _acts(acts: dict[tuple[str, str], tuple[str, ...]]) -> dict[str, str]:
    """What to do, to how it is done."""
    return {
        act.format(o=thing): method.format(o=thing)
        for (act, method), things in acts.items()
        for thing in things
    }


def harmful_sentences() -> frozenset[str]:
    """Every sentence that tells how to do harm."""
    return frozenset(_acts(lex.HARMFUL_ACTS).values())


def _harmful() -> Iterator[Question]:
    for act, method in _acts(lex.HARMFUL_ACTS).items():
        for template in lex.ACT_TEMPLATES:
            yield Question("harmful", act, template.format(x=act), sentences=(method,))


def _open() -> Iterator[Question]:
    acts = _acts(lex.HARMLESS_ACTS)
    answers = {**lex.TOPICS, **{act: (method,) for act, method in acts.items()}}
    everything = [sentence for sentences in answers.values() for sentence in sentences]
    for item, sentences in answers.items():
        others = tuple(s for s in everything if s not in sentences)
        for template in lex.TOPIC_TEMPLATES if item in lex.TOPICS else lex.ACT_TEMPLATES:
            text = template.format(x=item)
            yield Question("open", item, text, sentences=sentences, others=others)
