"""Between the fields of a form and the value of an answer, both ways, for each kind of work.

A form that is half filled in gives a partial value: what was not touched is not there. Drafts are
such values. Nothing untouched becomes an answer: `read_answer` names what is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from fairlead.feedback.errors import InvalidAnswer
from fairlead.feedback.work import (
    Binary,
    CritiqueWork,
    DemonstrationWork,
    Kind,
    Likert,
    Pairwise,
    RankingWork,
    Ratings,
    RedTeam,
    Steps,
    Subject,
    Value,
    Work,
)

Fields = Mapping[str, Sequence[str]]
"""All values of each field, as forms send them."""
Filled = dict[str, list[str]]
LETTERS = "ABCDEFGHIJKLMNOPQRST"


def fields_of(pairs: Sequence[tuple[str, Any]]) -> Filled:
    """The fields of a form, with the line ends that people typed; files are left out."""
    fields: Filled = {}
    for name, value in pairs:
        if isinstance(value, str):
            fields.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return fields


def one(fields: Fields, name: str) -> str:
    """The first value of a field; empty where there is none."""
    return next(iter(fields.get(name, ())), "")


def read(work: Kind, fields: Fields, subject: Subject) -> Value:
    """What a form says so far: an answer, or a part of one."""
    return _READ[work.kind](work, fields, subject)


def read_answer(work: Kind, fields: Fields, subject: Subject) -> Value:
    """The answer of a form that was sent.

    Raises:
        InvalidAnswer: something that must be chosen was not touched.
    """
    value = read(work, fields, subject)
    field, sentence = _UNTOUCHED.get(work.kind, ("", ""))
    if field and field not in value:
        raise InvalidAnswer.of((field, sentence))
    if work.kind == "steps" and value["rewrite"] and value["rewrite"]["step"] is None:
        raise InvalidAnswer.of(("rewrite", "mark the wrong step that your text replaces"))
    return value


def fill(work: Kind, value: Value) -> Filled:
    """The fields that show a value, whole or partial; what does not fit is left empty."""
    try:
        filled = _FILL[work.kind](work, value)
    except (TypeError, KeyError, ValueError, AttributeError):
        filled = {}  # A draft is whatever a client sent.
    reason = value.get("reason")
    return {**filled, "reason": [reason]} if isinstance(reason, str) else filled


def said(work: Kind, value: Value, letters: Mapping[int, str]) -> str:
    """An answer in words.

    Args:
        work: the kind of work.
        value: the answer.
        letters: the letter of each candidate, as it was shown.
    """
    return _SAID[work.kind](work, value, letters)


# Comparisons


def _read_pairwise(work: Pairwise, fields: Fields, subject: Subject) -> Value:
    choice = one(fields, "choice")
    if choice in ("tie", "both_bad"):
        return {"preferred": None, "strength": None, "both_bad": choice == "both_bad"}
    name, _, strength = choice.partition(".")
    candidate = _number(name)
    if candidate is None:  # Not a tie: nothing was chosen.
        return {}
    return {"preferred": candidate, "strength": _number(strength), "both_bad": False}


def _fill_pairwise(work: Pairwise, value: Value) -> Filled:
    if "preferred" not in value:
        return {}
    if value["preferred"] is None:
        return {"choice": ["both_bad" if value.get("both_bad") else "tie"]}
    strength = value.get("strength")
    return {"choice": [f"{value['preferred']}" + ("" if strength is None else f".{strength}")]}


def _say_pairwise(work: Pairwise, value: Value, letters: Mapping[int, str]) -> str:
    if value["preferred"] is None:
        return "both are bad" if value.get("both_bad") else "a tie"
    letter, strength = letters[value["preferred"]], value.get("strength")
    return (
        f"{letter}: {work.strengths[strength - 1]}" if strength else f"{letter} is {work.polarity}"
    )


def _read_ranking(work: RankingWork, fields: Fields, subject: Subject) -> Value:
    tiers: dict[int, list[int]] = {}
    for candidate in subject.candidates:
        rank = _number(one(fields, f"rank_{candidate}"))
        if rank is not None:
            tiers.setdefault(rank, []).append(candidate)
    return {"tiers": [tiers[rank] for rank in sorted(tiers)]} if tiers else {}


def _fill_ranking(work: RankingWork, value: Value) -> Filled:
    return {
        f"rank_{candidate}": [str(rank)]
        for rank, tier in enumerate(value.get("tiers", ()), start=1)
        for candidate in tier
    }


def _say_ranking(work: RankingWork, value: Value, letters: Mapping[int, str]) -> str:
    tiers = (" = ".join(sorted(letters[one] for one in tier)) for tier in value["tiers"])
    return " > ".join(tiers)


# One reply


def _read_likert(work: Likert, fields: Fields, subject: Subject) -> Value:
    score = _number(one(fields, "score"))
    return {} if score is None else {"score": score}


def _fill_likert(work: Likert, value: Value) -> Filled:
    return {"score": [str(value["score"])]} if "score" in value else {}


def _say_likert(work: Likert, value: Value, letters: Mapping[int, str]) -> str:
    return f"{value['score']} of {work.levels}"


def _read_ratings(work: Ratings, fields: Fields, subject: Subject) -> Value:
    given = {d.name: one(fields, f"score_{d.name}") for d in work.dimensions}
    return {"scores": {name: _number(text) for name, text in given.items() if text}}


def _fill_ratings(work: Ratings, value: Value) -> Filled:
    return {
        f"score_{name}": ["na" if score is None else str(score)]
        for name, score in value.get("scores", {}).items()
    }


def _say_ratings(work: Ratings, value: Value, letters: Mapping[int, str]) -> str:
    scores = value["scores"].items()
    return ", ".join(f"{name} {'-' if score is None else score}" for name, score in scores)


def _read_binary(work: Binary, fields: Fields, subject: Subject) -> Value:
    good = one(fields, "good")
    return {"good": good == "yes"} if good in ("yes", "no") else {}


def _fill_binary(work: Binary, value: Value) -> Filled:
    return {"good": ["yes" if value["good"] else "no"]} if "good" in value else {}


def _say_binary(work: Binary, value: Value, letters: Mapping[int, str]) -> str:
    return work.good if value["good"] else work.bad


def _read_steps(work: Steps, fields: Fields, subject: Subject) -> Value:
    labels = [_number(one(fields, f"label_{i}")) for i in range(len(subject.steps))]
    text = one(fields, "rewrite")
    wrong = labels.index(-1) if -1 in labels else None
    return {
        "labels": labels,
        "unsure": [i for i in map(_number, fields.get("unsure", ())) if i is not None],
        "rewrite": {"step": wrong, "text": text} if text.strip() else None,
        "finish": one(fields, "finish") or None,
    }


def _fill_steps(work: Steps, value: Value) -> Filled:
    labels = enumerate(value.get("labels", ()))
    filled = {f"label_{i}": [str(label)] for i, label in labels if label is not None}
    filled["unsure"] = [str(i) for i in value.get("unsure", ())]
    filled["rewrite"] = [(value.get("rewrite") or {}).get("text", "")]
    return filled


def _say_steps(work: Steps, value: Value, letters: Mapping[int, str]) -> str:
    if value["finish"] == "found_error":
        return f"step {value['labels'].index(-1) + 1} is wrong"
    return {
        "solution": "all steps hold",
        "give_up": "gave up",
        "bad_problem": "the task itself is bad",
    }[value["finish"]]


# Texts


def _read_demonstration(work: DemonstrationWork, fields: Fields, subject: Subject) -> Value:
    return {"text": one(fields, "text")}


def _fill_demonstration(work: DemonstrationWork, value: Value) -> Filled:
    return {"text": [str(value.get("text", ""))]}


def _say_demonstration(work: DemonstrationWork, value: Value, letters: Mapping[int, str]) -> str:
    return _opening(value["text"])


def _read_critique(work: CritiqueWork, fields: Fields, subject: Subject) -> Value:
    violates = one(fields, "violates")
    revision = one(fields, "revision")
    value: Value = {
        "violates": violates == "yes" if violates in ("yes", "no") else None,
        "critique": one(fields, "critique"),
        "revision": revision if revision.strip() else None,
    }
    principle = one(fields, "principle")
    return {"principle": principle, **value} if principle else value


def _fill_critique(work: CritiqueWork, value: Value) -> Filled:
    filled = {name: [str(value.get(name) or "")] for name in ("principle", "critique", "revision")}
    if value.get("violates") is not None:
        filled["violates"] = ["yes" if value["violates"] else "no"]
    return filled


def _say_critique(work: CritiqueWork, value: Value, letters: Mapping[int, str]) -> str:
    return f"{value['principle']}: {_opening(value['critique'])}"


def _read_redteam(work: RedTeam, fields: Fields, subject: Subject) -> Value:
    turns: list[dict[str, str]] = []
    for i in range(exchanges(fields)):
        for role, name in (("user", f"user_{i}"), ("assistant", f"model_{i}")):
            content = one(fields, name)
            if content.strip():
                turns.append({"role": role, "content": content})
    return {
        "turns": turns,
        "goal": one(fields, "goal"),
        "success": _number(one(fields, "success")),
        "tags": list(fields.get("tags", ())),
    }


def _fill_redteam(work: RedTeam, value: Value) -> Filled:
    filled: Filled = {}
    number = -1
    for turn in value.get("turns", ()):
        number += turn["role"] == "user" or number < 0
        filled[f"{'user' if turn['role'] == 'user' else 'model'}_{number}"] = [turn["content"]]
    success = value.get("success")
    filled["goal"] = [str(value.get("goal", ""))]
    filled["success"] = [] if success is None else [str(success)]
    filled["tags"] = [str(tag) for tag in value.get("tags", ())]
    return filled


def _say_redteam(work: RedTeam, value: Value, letters: Mapping[int, str]) -> str:
    turns = len(value["turns"])
    return f"{turns} turns, success {value['success']} of {work.levels}"


def exchanges(fields: Fields) -> int:
    """How many exchanges of person and model a form has."""
    numbers = [
        _number(name.partition("_")[2]) for name in fields if name.startswith(("user_", "model_"))
    ]
    return min(max((i + 1 for i in numbers if i is not None), default=0), 100)


# Parts


def _number(text: str) -> int | None:
    """A whole number; None where there is none, or one that no field has."""
    try:
        found = int(text)
    except ValueError:
        return None
    return found if abs(found) < 2**53 else None


def _opening(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 80 else words[:79] + "…"


_UNTOUCHED = {
    "pairwise": ("preferred", "choose one of the answers"),
    "ranking": ("tiers", "rank at least two replies"),
    "likert": ("score", "choose a level"),
    "binary": ("good", "choose one of the two"),
    "critique": ("principle", "choose a principle"),
}
_READ = cast(
    dict[str, Callable[[Work, Fields, Subject], Value]],
    {
        "pairwise": _read_pairwise,
        "ranking": _read_ranking,
        "likert": _read_likert,
        "ratings": _read_ratings,
        "binary": _read_binary,
        "steps": _read_steps,
        "demonstration": _read_demonstration,
        "critique": _read_critique,
        "redteam": _read_redteam,
    },
)
_FILL = cast(
    dict[str, Callable[[Work, Value], Filled]],
    {
        "pairwise": _fill_pairwise,
        "ranking": _fill_ranking,
        "likert": _fill_likert,
        "ratings": _fill_ratings,
        "binary": _fill_binary,
        "steps": _fill_steps,
        "demonstration": _fill_demonstration,
        "critique": _fill_critique,
        "redteam": _fill_redteam,
    },
)
_SAID = cast(
    dict[str, Callable[[Work, Value, Mapping[int, str]], str]],
    {
        "pairwise": _say_pairwise,
        "ranking": _say_ranking,
        "likert": _say_likert,
        "ratings": _say_ratings,
        "binary": _say_binary,
        "steps": _say_steps,
        "demonstration": _say_demonstration,
        "critique": _say_critique,
        "redteam": _say_redteam,
    },
)
