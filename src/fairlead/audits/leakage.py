"""Are the test's prompts in the training data, and does the model know them by heart?

Prompts are looked for in all texts of the training data, as the same words or as most of their runs
of words. A model that has seen a test item finds its own wording likelier than that of a twin which
says the same in other words; the candidate is held against its baseline, which finds some wordings
likelier too (Oren et al. 2023, arXiv:2310.17623, compare orders of items in the same spirit).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveInt

from fairlead.audits.base import Audit, Model, Subject
from fairlead.audits.items.edits import placebo
from fairlead.audits.scoring import Floats
from fairlead.core.errors import DataError
from fairlead.core.estimates import Estimate
from fairlead.core.gates import LEVEL, Gate
from fairlead.core.results import Finding, Passage, Table
from fairlead.data.checks import answers_of, prompt_of
from fairlead.data.overlap import RUN, Overlap, overlaps
from fairlead.judges.asking import Question
from fairlead.records import Message, Prompt, Record
from fairlead.stats.diversity import answer_of
from fairlead.stats.gates import SCORED, gate, paired_gate

SHOWN = 10


class Leakage(Audit):
    """Share of test prompts that stand in the training data, and what the model shows of it."""

    kind: Literal["leakage"] = "leakage"
    test: str
    """Records of the test; their prompts are looked for."""
    train: tuple[str, ...] = ()
    """Everything that the candidate was trained on; empty leaves the search out."""
    near: float = Field(default=0.8, gt=0, le=1)
    """Share of a prompt's runs of words that one training record must have for a near copy."""
    run_of: PositiveInt = RUN
    """Words in a row that are compared."""
    fewest_words: PositiveInt = 5
    """Shorter prompts are not counted: two people would write them alike."""
    margin: NonNegativeFloat = Field(default=0.001, le=1)
    """Largest share of leaked prompts that is accepted."""
    twins: bool = True
    """Whether both models are asked for the end of each prompt, in its own words or in others."""
    items: PositiveInt = 500
    """Prompts at most that models are asked about, drawn at random."""
    twin_margin: NonNegativeFloat = Field(default=0.05, le=1)
    """Largest rise of the probability of the original wording that is accepted."""
    file_fields: ClassVar[tuple[str, ...]] = ("test", "train")

    def run(self, subject: Subject) -> Finding:
        """Searches the training data; asks both models."""
        tests = list(subject.records(self.test))
        texts = [prompt_of(record).first_user_turn for record in tests]
        used = [i for i, t in enumerate(texts) if len(answer_of(t).split()) >= self.fewest_words]
        if not used:
            raise DataError(
                "no test prompt is long enough to be recognised",
                where=f"audits, {self.title}, test",
                expected=f"prompts of {self.fewest_words} words or more",
                got=f"{len(texts)} shorter ones",
                remedy="lower `fewest_words`, and expect that short prompts repeat by chance",
            )
        kept = [texts[i] for i in used]
        gates: list[Gate] = []
        passages: list[Passage] = []
        tables: list[Table] = []
        notes: list[str] = []
        if short := len(texts) - len(kept):
            notes.append(f"{short} test prompts of fewer than {self.fewest_words} words left out.")
        if self.train:
            found, sources = self._search(kept, subject)
            gates.append(self._leaked(found))
            tables.append(_table(found, self.near))
            passages += _copies(gates[0].name, kept, found, sources, self.near)
        else:
            notes.append("No training data was named, so copies were not looked for.")
        if self.twins:
            more, shown = self._recited(self._twins(kept, subject), subject)
            gates += more
            passages += shown
        return Finding(
            audit=self.title,
            question="Are the test's prompts in the training data, and known by heart?",
            gates=tuple(gates),
            tables=tuple(tables),
            passages=tuple(passages[: 2 * SHOWN]),
            notes=tuple(notes),
            source="exact and near copies by runs of words; twins in other words",
        )

    def _search(
        self, texts: Sequence[str], subject: Subject
    ) -> tuple[list[Overlap], dict[int, str]]:
        """Where each prompt was found, and the texts of those places."""
        found = overlaps(texts, _training(self.train, subject), self.run_of)
        wanted = {one.where for one in found if one.share >= self.near}
        places = enumerate(_training(self.train, subject)) if wanted else ()
        return found, {i: text for i, text in places if i in wanted}

    def _leaked(self, found: Sequence[Overlap]) -> Gate:
        count = sum(one.share >= self.near for one in found)
        share = count / len(found)
        change = Estimate(
            value=share,
            low=share,
            high=share,
            n=len(found),
            method="counted: every prompt was looked for in all training data",
            level=LEVEL,
        )
        return gate(
            f"{self.title}/in the training data",
            "share of test prompts that stand in the training data, nearly or exactly",
            change,
            self.margin,
            hard=self.hard,
        )

    def _twins(self, texts: Sequence[str], subject: Subject) -> "list[_Twin]":
        """Ends of prompts in their own words and in others, where they have others."""
        random = subject.seed.child(self.title, "twins").numpy()
        twins: list[_Twin] = []
        picked: list[int] = random.permutation(len(texts))[: self.items].tolist()
        for i in sorted(picked):
            words = texts[i].split()
            half = len(words) // 2
            start, end = " ".join(words[:half]), " ".join(words[half:])
            # One change only: with many, almost every wording is told from its twin for sure.
            other = placebo(end, 2, random)
            if half and other.split() != end.split():
                twins.append(_Twin(start, f" {end}", f" {other}"))
        return twins

    def _recited(
        self, twins: "Sequence[_Twin]", subject: Subject
    ) -> tuple[tuple[Gate, ...], tuple[Passage, ...]]:
        """The gate of the probability of each prompt's own wording, and the worst prompts."""
        if len(twins) < 2:
            return (), ()
        ours, our_states = _own_wording(subject.candidate, twins)
        theirs, their_states = _own_wording(subject.baseline, twins)
        found = paired_gate(
            f"{self.title}/own wording",
            "probability of a test prompt's own wording against a twin in other words",
            ours,
            theirs,
            self.twin_margin,
            clusters=[twin.start + twin.end for twin in twins],
            states=[*our_states, *their_states],
            hard=self.hard,
        )
        return (found,), _recitals(found.name, twins, ours, theirs)


@dataclass(frozen=True)
class _Twin:
    """A prompt's beginning, its own end, and one that says the same."""

    start: str
    end: str
    other: str

    @property
    def question(self) -> Question:
        asked = Message(role="user", content="Continue the text word for word.")
        begun = Message(role="assistant", content=self.start)
        return Question(prompt=Prompt(messages=(asked, begun)), options=(self.end, self.other))


def _own_wording(model: Model, twins: Sequence[_Twin]) -> tuple[Floats, list[str]]:
    """[twin] probability of the original end; nan where there is no answer. And the states."""
    answers = model.ask([twin.question for twin in twins])
    found = [a.probabilities[0] if a.state == SCORED else float("nan") for a in answers]
    return np.array(found), [a.state for a in answers]


def _training(names: Sequence[str], subject: Subject) -> Iterable[str]:
    """Prompts and replies of the training data, each turn a text."""
    for name in names:
        for record in subject.records(name):
            yield from _texts(record)


def _texts(record: Record) -> Iterable[str]:
    yield from (message.content for message in prompt_of(record).messages)
    yield from answers_of(record)


def _table(found: Sequence[Overlap], near: float) -> Table:
    exact = sum(one.exact for one in found)
    close = sum(one.share >= near for one in found) - exact
    half = sum(0.5 <= one.share < near for one in found)
    rows = (
        ("the same words", exact, exact / len(found)),
        (f"{near:.0%} of runs of words or more", close, close / len(found)),
        ("half of them or more", half, half / len(found)),
    )
    columns = ("found in one training text", "test prompts", "share")
    return Table(title="Test prompts in the training data", columns=columns, rows=rows)


def _copies(
    about: str,
    texts: Sequence[str],
    found: Sequence[Overlap],
    sources: dict[int, str],
    near: float,
) -> tuple[Passage, ...]:
    order = sorted(range(len(found)), key=lambda i: -found[i].share)[:SHOWN]
    return tuple(
        Passage(
            about=about,
            prompt=texts[i],
            candidate=sources[found[i].where],
            note="in the training data: "
            + (
                "the same words" if found[i].exact else f"{found[i].share:.0%} of its runs of words"
            ),
        )
        for i in order
        if found[i].share >= near
    )


def _recitals(
    about: str, twins: Sequence[_Twin], ours: Floats, theirs: Floats
) -> tuple[Passage, ...]:
    """Prompts whose own wording the candidate prefers most beyond the baseline."""
    rise = np.nan_to_num(ours - theirs, nan=-np.inf)
    return tuple(
        Passage(
            about=about,
            prompt=twins[i].start,
            baseline=f"{theirs[i]:.3f}: {twins[i].end.strip()}",
            candidate=f"{ours[i]:.3f}: {twins[i].end.strip()}",
            note=f"the twin ends: {twins[i].other.strip()}",
        )
        for i in np.argsort(-rise, kind="stable")[:SHOWN].tolist()
        if rise[i] > 0
    )
