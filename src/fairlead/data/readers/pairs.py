"""Formats of pairwise preferences."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from fairlead.data.readers.fields import (
    conversation,
    has,
    make_prompt,
    messages,
    number,
    prompt,
    reply,
    shown,
    text,
    transcript,
)
from fairlead.data.readers.registry import BadRow, Row, reader
from fairlead.records import Comparison, Message, Prompt, Provenance

PROMPT_FIELDS = ("prompt", "instruction", "conversations", "messages", "question")


def _is_transcript_pair(row: Row) -> bool:
    sides = [row.get("chosen"), row.get("rejected")]
    marked = any(isinstance(side, str) and "\n\nHuman:" in side for side in sides)
    return has("chosen", "rejected")(row) and marked and not _has_prompt(row)


def _has_prompt(row: Row) -> bool:
    return any(name in row for name in PROMPT_FIELDS)


def divide(
    chosen: tuple[Message, ...], rejected: tuple[Message, ...]
) -> tuple[tuple[Message, ...], str, str]:
    """Divides two conversations into the shared prompt and the two last replies.

    Where the sides part before their last reply, later turns answer different words and no single
    reply carries the preference, so the row is refused instead of cut.
    """
    for side, turns in (("chosen", chosen), ("rejected", rejected)):
        if turns[-1].role != "assistant":
            raise BadRow(side, "a conversation that ends with the assistant", turns[-1].role)
    if chosen[:-1] != rejected[:-1]:
        pairs = enumerate(zip(chosen, rejected, strict=False))
        shared = next((i for i, (a, b) in pairs if a != b), min(len(chosen), len(rejected)))
        raise BadRow(
            "chosen and rejected",
            "conversations that differ only in the last assistant turn",
            f"{len(chosen)} and {len(rejected)} turns of which the first {shared} are shared",
        )
    return chosen[:-1], chosen[-1].content, rejected[-1].content


@reader("hh-rlhf", _is_transcript_pair)
def hh_rlhf(row: Row, at: Provenance) -> Iterator[Comparison]:
    r"""Anthropic's HH: `chosen` and `rejected` are whole `"\n\nHuman: ..."` transcripts."""
    chosen, rejected = (transcript(text(row, side), side) for side in ("chosen", "rejected"))
    turns, better, worse = divide(chosen, rejected)
    shared = make_prompt(turns, row, at, "chosen")
    yield Comparison(prompt=shared, chosen=better, rejected=worse)


@reader("preference", lambda row: has("chosen", "rejected")(row) and not _is_transcript_pair(row))
def preference(row: Row, at: Provenance) -> Iterator[Comparison]:
    """A prompt with a chosen and a rejected reply.

    The prompt is a string or a list of messages (`prompt`, `instruction`, `conversations`,
    `messages` or `question`); replies are strings, messages or message lists. Without a prompt
    field, or where replies repeat the prompt, the turns shared by both lists are the prompt.
    Where the row has them: `tie`, `strength`, `preference` (probability that the chosen reply is
    the better one), `chosen_safe`, `rejected_safe`, `safer`.
    """
    shared, better, worse = _sides(row, at)
    yield Comparison(
        prompt=shared,
        chosen=better,
        rejected=worse,
        tie=bool(row.get("tie", False)),
        strength=_strength(row),
        preference=_probability(row, "preference"),
        chosen_safe=_flag(row, "chosen_safe"),
        rejected_safe=_flag(row, "rejected_safe"),
        safer=_side(row, "safer"),
    )


def _probability(row: Row, name: str) -> float | None:
    if row.get(name) is None:
        return None
    value = number(row[name], name)
    if not 0 <= value <= 1:
        raise BadRow(name, "a probability from 0 to 1", shown(row[name]))
    return value


def _side(row: Row, name: str) -> Literal["chosen", "rejected"] | None:
    value = row.get(name)
    if value not in ("chosen", "rejected", None):
        raise BadRow(name, "chosen, rejected or null", shown(value))
    return value


def _flag(row: Row, name: str) -> bool | None:
    value = row.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRow(name, "true, false or null", shown(value))
    return value


def _sides(row: Row, at: Provenance) -> tuple[Prompt, str, str]:
    for side in ("chosen", "rejected"):
        if side not in row:
            raise BadRow(side, "the field to be there", "fields " + ", ".join(map(str, row)))
    whole = any(isinstance(row[s], list) and len(row[s]) > 1 for s in ("chosen", "rejected"))
    if not whole:
        shared = prompt(row, at, *PROMPT_FIELDS)
        return shared, reply(row["chosen"], "chosen"), reply(row["rejected"], "rejected")
    sides = [messages(row[side], side) for side in ("chosen", "rejected")]
    turns, better, worse = divide(sides[0], sides[1])
    _check_repeats_prompt(row, turns)
    return make_prompt(turns, row, at, "chosen"), better, worse


def _check_repeats_prompt(row: Row, turns: tuple[Message, ...]) -> None:
    if not _has_prompt(row):
        return
    name = next(name for name in PROMPT_FIELDS if name in row)
    stated = conversation(row[name], name)
    if not turns or stated[-1].content.strip() != turns[-1].content.strip():
        raise BadRow(name, "the prompt that chosen and rejected repeat", shown(row[name]))


def _strength(row: Row) -> float | None:
    if row.get("strength") is not None:
        return number(row["strength"], "strength")
    scores = row.get("score_chosen"), row.get("score_rejected")
    if scores[0] is None or scores[1] is None:
        return None
    return number(scores[0], "score_chosen") - number(scores[1], "score_rejected")


@dataclass(frozen=True)
class _Layout:
    """Field names of a two-answer format and what its verdicts mean."""

    prompt: str
    answers: tuple[str, str]
    verdict: str
    meaning: dict[int | str, float]
    """Verdict to preference for the first answer: positive better, 0 tie, negative worse."""
    graded: bool = False


LAYOUTS = (
    _Layout("prompt", ("response 1", "response 2"), "label", {0: 1, 1: -1, 2: 0}),
    _Layout("input", ("output_1", "output_2"), "label", {1: 1, 2: -1}),
    _Layout(
        "prompt",
        ("completion_a", "completion_b"),
        "preference",
        {
            "a-is-better": 2,
            "a-is-slightly-better": 1,
            "tie": 0,
            "b-is-slightly-better": -1,
            "b-is-better": -2,
        },
        graded=True,
    ),
)


def _layout(row: Row) -> _Layout:
    """The layout with an answer field in this row."""
    for layout in LAYOUTS:
        if any(name in row for name in layout.answers):
            return layout
    pairs = " or ".join(f"{a}/{b}" for a, b in (layout.answers for layout in LAYOUTS))
    raise BadRow(pairs, "two answers", "fields " + ", ".join(map(str, row)))


@reader("pairwise-label", lambda r: any(has(*lay.answers, lay.verdict)(r) for lay in LAYOUTS))
def pairwise_label(row: Row, at: Provenance) -> Iterator[Comparison]:
    """Two answers and a label that says which is better or that they tie.

    Auto-J (`response 1/2`, label 0, 1, 2 = tie), LLMBar (`output_1/2`, label 1, 2) and Tulu's
    human evaluation (`completion_a/b`, five grades: `strength` 2 better, 1 slightly, 0 tie).
    """
    layout = _layout(row)
    first, second = (text(row, name) for name in layout.answers)
    score = _preference(row, layout)
    better, worse = (first, second) if score >= 0 else (second, first)
    annotator = row.get("annotator")
    if isinstance(annotator, str):
        at = at.model_copy(update={"annotator": annotator})
    yield Comparison(
        prompt=prompt(row, at, layout.prompt),
        chosen=better,
        rejected=worse,
        tie=score == 0,
        strength=abs(score) if layout.graded else None,
    )


def _preference(row: Row, layout: _Layout) -> float:
    verdict = row.get(layout.verdict)
    known = isinstance(verdict, (int, str)) and not isinstance(verdict, bool)
    if not known or verdict not in layout.meaning:
        raise BadRow(
            layout.verdict, "one of " + ", ".join(map(str, layout.meaning)), shown(verdict)
        )
    return layout.meaning[verdict]


ARENA = {"model_a": 1, "model_b": -1, "tie": 0, "tie (bothbad)": 0}


@reader("arena-votes", has("conversation_a", "conversation_b", "winner"))
def arena_votes(row: Row, at: Provenance) -> Iterator[Comparison]:
    """Chatbot Arena: two models' conversations and a vote: one of them, a tie, or both bad.

    The vote is about whole conversations; where these part before the last reply, no single reply
    carries it and the row is refused.
    """
    sides = [messages(row[f"conversation_{side}"], f"conversation_{side}") for side in "ab"]
    turns, first, second = divide(sides[0], sides[1])
    winner = row["winner"]
    if not isinstance(winner, str) or winner not in ARENA:
        raise BadRow("winner", "one of " + ", ".join(ARENA), shown(winner))
    judge = row.get("judge")
    if isinstance(judge, str):
        at = at.model_copy(update={"annotator": judge})
    better, worse = (first, second) if ARENA[winner] >= 0 else (second, first)
    yield Comparison(
        prompt=make_prompt(turns, row, at, "conversation_a"),
        chosen=better,
        rejected=worse,
        tie=ARENA[winner] == 0,
    )


PANDALM = {1: 1, 2: -1, 0: 0}


@reader("pandalm", has("instruction", "response1", "response2", "annotator1"))
def pandalm(row: Row, at: Provenance) -> Iterator[Comparison]:
    """PandaLM's test set: two answers and what each of several annotators says (0 is a tie).

    Every annotator's verdict is a comparison of its own, with the annotator's name, so that their
    agreement can be measured.
    """
    first, second = text(row, "response1"), text(row, "response2")
    for name in (n for n in row if n.startswith("annotator")):
        verdict = row[name]
        if isinstance(verdict, bool) or not isinstance(verdict, int) or verdict not in PANDALM:
            raise BadRow(name, "one of " + ", ".join(map(str, PANDALM)), shown(verdict))
        score = PANDALM[verdict]
        better, worse = (first, second) if score >= 0 else (second, first)
        by = at.model_copy(update={"annotator": name})
        yield Comparison(
            prompt=prompt(row, by, "instruction"),
            chosen=better,
            rejected=worse,
            tie=score == 0,
        )
