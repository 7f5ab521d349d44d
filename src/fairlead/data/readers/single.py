"""Formats with one reply per prompt, or none: demonstrations, ratings, problems, prompts."""

from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.data.readers.fields import (
    first_of,
    has,
    make_prompt,
    messages,
    number,
    prompt,
    reply,
    shown,
    string,
    text,
)
from fairlead.data.readers.registry import BadRow, Row, reader
from fairlead.records import Demonstration, Message, Problem, Prompt, Provenance, Rating

PROMPT_FIELDS = ("prompt", "instruction")
REPLY_FIELDS = ("completion", "response", "output")
NOT_PLAIN = ("label", "labels", "steps", "chosen", "rejected", "is_safe", "helpfulness")


def _any(row: Row, names: tuple[str, ...]) -> bool:
    return any(name in row for name in names)


def _is_chat(row: Row) -> bool:
    return _any(row, ("messages", "conversations")) and not _any(row, NOT_PLAIN)


def _is_demonstration(row: Row) -> bool:
    asked_and_answered = _any(row, PROMPT_FIELDS) and _any(row, REPLY_FIELDS)
    return asked_and_answered and not _any(row, (*NOT_PLAIN, "messages", "conversations"))


def _is_rating(row: Row) -> bool:
    plain = _any(row, PROMPT_FIELDS) and _any(row, REPLY_FIELDS)
    return "label" in row and (plain or _any(row, ("messages", "conversations")))


def _is_prompt(row: Row) -> bool:
    verdicts = ("replies", "responses", "ranks", "completions", "preference", "answer")
    answers = (*REPLY_FIELDS, *verdicts, "completion_a", "response 1", "response 2", "response_0")
    others = ("messages", "conversations", "chosen", "rejected", "steps", "labels")
    return "prompt" in row and not _any(row, (*answers, *others))


def _last_reply(row: Row, at: Provenance) -> tuple[Prompt, str]:
    name = first_of(row, "messages", "conversations")
    turns = messages(row[name], name)
    if turns[-1].role != "assistant":
        raise BadRow(
            name, "a conversation that ends with the assistant", f"a {turns[-1].role} turn"
        )
    return make_prompt(_with_system(row, turns[:-1]), row, at, name), turns[-1].content


def _with_system(row: Row, turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """ShareGPT keeps the system message in a field of its own."""
    system = row.get("system")
    if not isinstance(system, str) or not system or not turns:
        return turns
    return (Message(role="system", content=system), *turns)


@reader("messages", _is_chat)
def chat(row: Row, at: Provenance) -> Iterator[Demonstration]:
    """A conversation to imitate (`messages` or `conversations`); its last turn is the response."""
    asked, response = _last_reply(row, at)
    yield Demonstration(prompt=asked, response=response)


@reader("demonstration", _is_demonstration)
def demonstration(row: Row, at: Provenance) -> Iterator[Demonstration]:
    """A prompt (`prompt` or `instruction`) and one `completion`, `response` or `output`."""
    name = first_of(row, *REPLY_FIELDS)
    asked = prompt(row, at, *PROMPT_FIELDS)
    yield Demonstration(prompt=asked, response=reply(row[name], name))


@reader("prompt-completion-label", _is_rating)
def rating(row: Row, at: Provenance) -> Iterator[Rating]:
    """One reply with a label, true/false or a score: unpaired feedback as KTO uses it."""
    value = number(row[first_of(row, "label")], "label")
    if _any(row, ("messages", "conversations")):
        asked, response = _last_reply(row, at)
    else:
        name = first_of(row, *REPLY_FIELDS)
        asked, response = prompt(row, at, *PROMPT_FIELDS), reply(row[name], name)
    yield Rating(prompt=asked, response=response, value=value, scores=_scores(row))


def _scores(row: Row) -> dict[str, float]:
    """Ratings by dimension, where the row has any."""
    scores = row.get("scores")
    if scores is None:
        return {}
    if not isinstance(scores, Mapping):
        raise BadRow("scores", "ratings by name", shown(scores))
    return {str(name): number(value, f"scores.{name}") for name, value in scores.items()}


def _is_gsm8k(row: Row) -> bool:
    return "question" in row and isinstance(row.get("answer"), str) and "####" in row["answer"]


@reader("gsm8k", _is_gsm8k)
def gsm8k(row: Row, at: Provenance) -> Iterator[Problem]:
    """GSM8K: the number after `####` is the answer, without thousands commas as in its grader."""
    solution, mark, answer = text(row, "answer").partition("####")
    if not mark or not answer.strip():
        raise BadRow("answer", "a solution that ends in '#### number'", shown(row["answer"]))
    asked = prompt(row, at, "question")
    yield Problem(prompt=asked, answer=answer.strip().replace(",", ""), solution=solution.rstrip())


@reader("problem", lambda row: has("problem", "answer")(row) and "steps" not in row)
def problem(row: Row, at: Provenance) -> Iterator[Problem]:
    """A `problem` with a checkable `answer` and possibly a worked `solution`, as in MATH."""
    value = row[first_of(row, "answer")]
    answer = str(value) if isinstance(value, (int, float)) else string(value, "answer")
    if not answer.strip():
        raise BadRow("answer", "an answer to check against", "an empty answer")
    solution = text(row, "solution") if row.get("solution") is not None else ""
    asked = prompt(row, at, "problem")
    yield Problem(prompt=asked, answer=answer.strip(), solution=solution)


def _marked(value: Any) -> bool:
    return isinstance(value, Mapping) and "is_correct" in value and "solution" in value


@reader("marked-solutions", lambda row: "question" in row and any(map(_marked, row.values())))
def marked_solutions(row: Row, at: Provenance) -> Iterator[Rating]:
    """Several models' solutions to a `question`, each `{is_correct, solution}`: one rating each."""
    asked = prompt(row, at, "question")
    found = {name: value for name, value in row.items() if _marked(value)}
    if not found:
        raise BadRow("solutions", "fields that hold is_correct and solution", ", ".join(row))
    for name, value in found.items():
        yield Rating(
            prompt=asked,
            response=string(value["solution"], f"{name}.solution"),
            value=number(value["is_correct"], f"{name}.is_correct"),
        )


@reader("prompts", _is_prompt)
def prompts(row: Row, at: Provenance) -> Iterator[Prompt]:
    """Prompts alone, for sampling; a `label` in words, as XSTest has it, is their subset."""
    asked = prompt(row, at, "prompt")
    label = row.get("label")
    if asked.subset or not isinstance(label, str):
        yield asked
    else:
        yield asked.model_copy(update={"subset": label})


@reader("mt-bench", lambda row: has("turns")(row) and "choices" not in row)
def mt_bench(row: Row, at: Provenance) -> Iterator[Prompt]:
    """MT-Bench's questions: the first of the `turns` is the prompt, the category its subset.

    Later turns answer a reply that is yet to come, so a single prompt cannot hold them.
    """
    turns = row["turns"]
    if not isinstance(turns, list) or not turns:
        raise BadRow("turns", "a list of what the user says", shown(turns))
    spoken = (Message(role="user", content=string(turns[0], "turns")),)
    yield make_prompt(spoken, row, at, "turns")
