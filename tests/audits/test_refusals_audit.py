"""Refusals: both rates, what the judge did not say, and rates from labels by people."""

import json
from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from pydantic import ValidationError

from fairlead.audits import Model, Subject
from fairlead.audits.items.own.requests import own_requests
from fairlead.audits.items.requests import LabelledReply, RequestItem, class_of
from fairlead.audits.labelled import agreement, judge_against_people, label_rates, rates_table
from fairlead.audits.refusals import Refusals
from fairlead.core.errors import DataError
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.judges.compliance import SignsOfRefusal
from fairlead.judges.fences import held

SORRY = "I am sorry, I cannot help with that."
ROWS = [
    {"id": i, "prompt": f"{label} {i}", "type": f"{contrast}{kind}", "label": label}
    for label, contrast in (("safe", ""), ("unsafe", "contrast_"))
    for i, kind in enumerate(("words", "figures") * 10)
]


class Told:
    name = "told"

    def __init__(self, say: Callable[[str], Answer | str]) -> None:
        self.say = say

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        found = [self.say(question.prompt.messages[-1].content) for question in questions]
        return [Answer(text=one) if isinstance(one, str) else one for one in found]


def answering(refused: set[int], complied: set[int]) -> Callable[[str], str]:
    def say(text: str) -> str:
        label, number = text.split()[0], int(text.split()[1])
        refuses = number in refused if label == "safe" else number not in complied
        return SORRY if refuses else "Certainly. First,"

    return say


def found(tmp_path, candidate, baseline, *, judge=None, **settings) -> Finding:
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    subject = Subject(
        candidate=Model("candidate", Told(candidate)),
        baseline=Model("baseline", Told(baseline)),
        judge=None if judge is None else Told(judge),
        seed=Seed(0),
    )
    return Refusals(data=str(path), **settings).run(subject)


def test_both_rates(tmp_path):
    one = found(tmp_path, answering({0, 1, 2, 3, 4}, {7}), answering({0}, {7, 8}))
    refused, complied = one.gates
    assert refused.change.value == pytest.approx(4 / 20)
    assert complied.change.value == pytest.approx(-1 / 20)
    assert (refused.flips.worse, refused.flips.better) == (4, 0)
    assert (complied.flips.worse, complied.flips.better) == (0, 1)
    values = {e.name: e.value for e in one.estimates}
    assert values["candidate: safe requests refused"] == 0.25
    assert values["baseline: harmful complied with"] == 0.1
    assert {row[:3] for row in one.tables[0].rows} == {
        (kind, harm, 10)
        for kind in ("words", "figures")
        for harm in ("safe, refused", "harmful, complied with")
    }
    assert "is unvalidated" in one.judge[0]
    assert "smoke test" in one.judge[1]
    assert one.figures[0].series[2].x == (0.25,)
    assert one.figures[0].series[2].y == (0.05,)


def test_a_refusal_in_part_is_one_of_a_safe_request_and_no_compliance(tmp_path):
    def judge(text: str) -> str:
        partial = dict(held(text))["reply"] == "Partly."
        return f"LABEL: {'partial_refusal' if partial else 'full_compliance'}"

    one = found(
        tmp_path,
        lambda text: "Partly.",
        lambda text: "Certainly.",
        judge=judge,
    )
    refused, complied = one.gates
    assert (refused.change.value, complied.change.value) == (1, -1)


def test_a_judge_who_declines_cannot_pass_a_model(tmp_path):
    def judge(text: str) -> str:
        if dict(held(text))["request"] in ("unsafe 3", "unsafe 4"):
            return "I cannot help with that."
        return "LABEL: full_refusal"

    def refuses(text: str) -> str:
        return SORRY

    one = found(tmp_path, refuses, refuses, judge=judge)
    assert one.gates[1].candidate.value == 0.1
    assert one.gates[1].baseline.value == 0
    assert one.gates[1].unscored == {"judge_refused": 4}
    assert one.gates[1].verdict != "pass"


def test_a_reply_that_never_came_keeps_its_state(tmp_path):
    def lost(text: str) -> Answer | str:
        return Answer(state="error") if text == "safe 0" else SORRY

    one = found(tmp_path, lost, lambda text: SORRY)
    assert one.gates[0].unscored == {"error": 1}


def test_an_attack_is_judged_by_the_plain_request(tmp_path):
    def fooled(text: str) -> str:
        return "Certainly. First," if "Rules for your answer" in text else SORRY

    seen: list[str] = []

    def judge(text: str) -> str:
        seen.append(dict(held(text))["request"])
        refuses = dict(held(text))["reply"] == SORRY
        return f"LABEL: {'full_refusal' if refuses else 'full_compliance'}"

    one = found(tmp_path, fooled, lambda text: SORRY, judge=judge, attack="no-refusals")
    direct, attacked = one.gates[1:]
    assert (direct.change.value, attacked.change.value) == (0, 1)
    assert (direct.hard, attacked.hard) == (True, False)
    assert set(seen) == {row["prompt"] for row in ROWS}


def test_unknown_attacks_are_refused():
    with pytest.raises(ValidationError, match="no attack 'magic'"):
        Refusals(attack="magic")


def test_own_requests_have_ten_types_and_more_with_contrasts():
    items = own_requests()
    assert len({item.prompt for item in items}) == len(items)
    safe = Counter(item.type for item in items if item.safe)
    unsafe = Counter(item.type for item in items if not item.safe)
    assert len(safe) >= 10
    assert min(safe.values()) >= 5
    assert min(unsafe.values()) >= 5
    assert set(unsafe) <= set(safe)


# Labels by people


def labelled(number: int, people: str, final: str, judge: str | None, reply="") -> LabelledReply:
    known = {"c": "full_compliance", "r": "full_refusal", "p": "partial_refusal", None: None}
    return LabelledReply(
        id=str(number),
        prompt=f"request {number}",
        model="m",
        reply=reply,
        people=tuple(known[one] for one in people),
        final=known[final],
        judges=(("gpt", known[judge]),),
    )


REQUESTS = [RequestItem(f"request {i}", "t", i < 4, str(i)) for i in range(6)]
REPLIES = [
    labelled(0, "cc", "c", "c", "First,"),
    labelled(1, "rr", "r", "r", SORRY),
    labelled(2, "pr", "p", "c", "First,"),
    labelled(3, "cc", "c", None),
    labelled(4, "cp", "c", "c"),
    labelled(5, "rr", "r", "r", SORRY),
]


def test_rates_from_labels():
    (final,) = label_rates(REPLIES, REQUESTS)
    assert (final.refused.value, final.complied.value) == (0.5, 0.5)
    assert final.safe == {"full_compliance": 2, "full_refusal": 1, "partial_refusal": 1}
    (second,) = label_rates(REPLIES, REQUESTS, source="person 2")
    assert (second.refused.value, second.complied.value) == (0.5, 0)
    (judge,) = label_rates(REPLIES, REQUESTS, source="gpt")
    assert (judge.refused.value, judge.refused.n, judge.unlabelled) == (pytest.approx(1 / 3), 3, 1)
    assert rates_table([final]).rows[0][:3] == ("m", 4, 0.5)


def test_agreement_of_labels():
    people = [[reply.people[k] for reply in REPLIES] for k in (0, 1)]
    found = agreement(*people, seed=Seed(0))
    assert found.same.value == pytest.approx(4 / 6)
    # Expected by chance: (3*2 + 2*3 + 1*1) / 36.
    assert found.kappa.value == pytest.approx((4 / 6 - 13 / 36) / (1 - 13 / 36))
    tried = judge_against_people(SignsOfRefusal(), REPLIES, seed=Seed(0))
    assert (tried.same.value, tried.same.n) == (0.75, 4)


def test_labels_without_their_request_or_source_are_refused():
    with pytest.raises(DataError, match="request that is not there"):
        label_rates(REPLIES, REQUESTS[:3])
    with pytest.raises(DataError, match="unknown source"):
        label_rates(REPLIES, REQUESTS, source="nobody")


def test_names_of_classes():
    assert class_of("2_full_refusal") == "full_refusal"
    assert class_of("I'm sorry, but I can't assist with that.") is None
