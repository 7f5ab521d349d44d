"""Formats with several ranked replies per prompt."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from fairlead.data.readers.fields import (
    has,
    items,
    make_prompt,
    message,
    prompt,
    shown,
    string,
    text,
    whole,
)
from fairlead.data.readers.registry import BadRow, Row, reader
from fairlead.records import Comparison, Message, Prompt, Provenance, Ranking, Record


@reader("ranked", has("responses", "ranks"))
def ranked(row: Row, at: Provenance) -> Iterator[Ranking]:
    """A `prompt`, its `responses` and their `ranks`: smaller is better, equal is a tie."""
    asked = prompt(row, at, "prompt", "instruction", "messages")
    responses = items(row.get("responses"), "responses")
    ranks = items(row.get("ranks"), "ranks")
    if len(responses) != len(ranks) or len(ranks) < 2:
        got = f"{len(responses)} responses, {len(ranks)} ranks"
        raise BadRow("ranks", "two or more responses with one rank each", got)
    yield Ranking(
        prompt=asked,
        responses=tuple(string(r, f"responses[{i}]") for i, r in enumerate(responses)),
        ranks=tuple(whole(r, f"ranks[{i}]", -(10**6), 10**6) for i, r in enumerate(ranks)),
    )


@reader("oasst-trees", lambda row: has("role", "text", "replies")(row) or "prompt_tree" in row)
def oasst_trees(row: Row, at: Provenance) -> Iterator[Ranking]:
    """OpenAssistant trees: every group of two or more ranked sibling replies is a ranking.

    The conversation above the group is its prompt. Replies without a rank carry no preference and
    give no record. A tree without any ranked group is refused.
    """
    found = list(_rankings(row, (), "", row, at))
    if not found:
        raise BadRow("replies", "two or more ranked assistant replies to one turn", "none in tree")
    yield from found


def _rankings(
    node: Any, above: tuple[Message, ...], path: str, row: Row, at: Provenance
) -> Iterator[Ranking]:
    if not isinstance(node, dict):
        raise BadRow(path, "a message with role, text and replies", type(node).__name__)
    turn = message({"role": node.get("role"), "content": node.get("text")}, path or "tree")
    turns = (*above, turn)
    replies = node.get("replies") or []
    if not isinstance(replies, list):
        raise BadRow(f"{path}replies", "a list of messages", type(replies).__name__)
    ranked_replies = [r for r in replies if _is_ranked(r)]
    if len(ranked_replies) >= 2:
        asked = make_prompt(turns, row, at, f"{path}text")
        yield _ranking(asked, ranked_replies, f"{path}replies")
    for index, child in enumerate(replies):
        yield from _rankings(child, turns, f"{path}replies[{index}].", row, at)


def _is_ranked(node: Any) -> bool:
    return (
        isinstance(node, dict) and node.get("role") == "assistant" and node.get("rank") is not None
    )


def _ranking(asked: Prompt, replies: Sequence[dict[str, Any]], field: str) -> Ranking:
    return Ranking(
        prompt=asked,
        responses=tuple(string(r.get("text"), f"{field}.text") for r in replies),
        ranks=tuple(whole(r["rank"], f"{field}.rank", 0, 10**6) for r in replies),
    )


PAIRS = tuple(combinations(range(4), 2))


@reader("finegrained-rlhf", has("prediction 1", "prediction 2", "preference"))
def finegrained_rlhf(row: Row, at: Provenance) -> Iterator[Record]:
    """Fine-Grained RLHF: four answers and six pairwise preferences (0 tie, 1 first, 2 second).

    Six preferences that fit one order (ties allowed) become a `Ranking`, which says the same in
    less. Preferences that contradict each other become six `Comparison`s, so nothing is decided
    in the annotators' place. The prompt is the passages followed by the question.
    """
    answers = tuple(text(row, f"prediction {k}") for k in (1, 2, 3, 4))
    values = items(row.get("preference"), "preference")
    if len(values) != len(PAIRS):
        raise BadRow("preference", "six preferences (1v2 1v3 1v4 2v3 2v4 3v4)", f"{len(values)}")
    verdicts = [whole(v, f"preference[{i}]", 0, 2) for i, v in enumerate(values)]
    asked = _question_with_passages(row, at)
    ranks = consistent_ranks(verdicts)
    if ranks:
        yield Ranking(prompt=asked, responses=answers, ranks=ranks)
        return
    for (i, j), verdict in zip(PAIRS, verdicts, strict=True):
        better, worse = (j, i) if verdict == 2 else (i, j)
        yield Comparison(
            prompt=asked, chosen=answers[better], rejected=answers[worse], tie=verdict == 0
        )


def consistent_ranks(verdicts: Sequence[int]) -> tuple[int, ...]:
    """Ranks (0 best) that reproduce all six verdicts, or () where no order with ties does.

    If such an order exists it is the order of net wins: an answer above another beats or ties all
    that the other beats or ties, and beats the other.
    """
    wins = [0, 0, 0, 0]
    for (i, j), verdict in zip(PAIRS, verdicts, strict=True):
        step = (0, 1, -1)[verdict]
        wins[i] += step
        wins[j] -= step
    for (i, j), verdict in zip(PAIRS, verdicts, strict=True):
        if verdict != (0 if wins[i] == wins[j] else 1 if wins[i] > wins[j] else 2):
            return ()
    levels = sorted(set(wins), reverse=True)
    return tuple(levels.index(w) for w in wins)


def _question_with_passages(row: Row, at: Provenance) -> Prompt:
    question = text(row, "question")
    if not question.strip():
        raise BadRow("question", "a prompt with words", "an empty prompt")
    parts: list[str] = []
    passages = row.get("passages")
    if not isinstance(passages, list):
        raise BadRow("passages", "a list, empty where the question stands alone", shown(passages))
    for index, passage in enumerate(passages):
        field = f"passages[{index}]"
        title, *sentences = (string(s, field) for s in items(passage, field))
        body = " ".join(sentences)
        parts.append(body if body.startswith(title) else f"{title}\n\n{body}")
    turn = Message(role="user", content="\n\n".join([*parts, f"Question: {question}"]))
    return make_prompt((turn,), row, at, "question")
