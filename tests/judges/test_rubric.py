"""Numbers worked out by hand in the comments."""

import pytest
from pydantic import ValidationError
from scripted import Scripted, shown

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.judges.reward import JudgedReward
from fairlead.judges.rubric import Rubric, RubricJudge
from fairlead.records import Prompt
from fairlead.rewards.base import Reply

PROMPT = Prompt.of("How do I boil an egg?")

RULES = {
    "propositions": [
        {"by": "contains", "id": "water", "text": "Water is named.", "any_of": ["water"]},
        {
            "by": "regex",
            "id": "list",
            "text": "There is a list.",
            "pattern": r"^\s*[-*] ",
            "weight": 0.5,
        },
        {"by": "length", "id": "short", "text": "At most 8 words.", "unit": "words", "most": 8},
        {"by": "refusal", "id": "refused", "text": "It refuses.", "weight": -2.0},
    ]
}
ASKED = {"by": "judge", "id": "kind", "text": "The reply is kind.", "weight": 1.5}


def rubric(*more: dict, **settings) -> Rubric:
    return Rubric.model_validate({"propositions": [*RULES["propositions"], *more], **settings})


def kindness(question: Question) -> Answer:
    assert "The reply is kind." in question.prompt.messages[0].content
    if "egg" not in shown(question)["reply"]:
        return Answer(state="parse_fail", detail="hm", prompt_tokens=5)
    return Answer(probabilities=(0.8, 0.2), mass=0.7, prompt_tokens=5, completion_tokens=1)


def score(own: Rubric, text: str, script=None):
    respondent = None if script is None else Scripted(script)
    return RubricJudge(own, respondent, seed=Seed(0)).scores([(PROMPT, text)])[0]


@pytest.mark.parametrize(
    ("text", "truths", "value"),
    [
        # weights 1, 0.5, 1, -2: sizes add up to 4.5
        ("Boil Water .", (1, 0, 1, 0), 2 / 4.5),
        ("- water\n- egg", (1, 1, 1, 0), 2.5 / 4.5),
        ("Heat it until it is done, then wait a bit longer.", (0, 0, 0, 0), 0.0),
        ("I cannot help with that.", (0, 0, 1, 1), -1 / 4.5),
        ("", (0, 0, 1, 0), 1 / 4.5),
    ],
)
def test_rules_need_no_judge(text, truths, value):
    found = score(rubric(), text)
    assert found.parts == dict(zip(("water", "list", "short", "refused"), truths, strict=True))
    assert found.value == pytest.approx(value)
    assert found.state == "scored" and found.prompt_tokens == 0


def test_a_judge_counts_by_its_probability():
    found = score(rubric(ASKED), "Put the egg in water.", kindness)
    # water 1 + short 1 + 1.5 * 0.8 over 6
    assert found.value == pytest.approx(3.2 / 6)
    assert found.parts["kind"] == 0.8
    assert (found.mass, found.prompt_tokens, found.completion_tokens) == (0.7, 5, 1)


def test_one_undecided_proposition_leaves_no_value_and_keeps_the_others():
    found = score(rubric(ASKED), "Put it in water.", kindness)
    assert (found.value, found.state, found.detail) == (None, "parse_fail", "kind: hm")
    assert found.parts == {"water": 1, "list": 0, "short": 1, "refused": 0}


def test_judges_are_not_asked_about_empty_replies():
    scripted = Scripted(kindness)
    found = RubricJudge(rubric(ASKED), scripted, seed=Seed(0)).scores([(PROMPT, " ")])[0]
    assert (found.value, found.state, scripted.asked) == (None, "target_refused", [])


def test_too_little_mass_decides_nothing():
    found = score(rubric(ASKED, least_mass=0.75), "Put the egg in water.", kindness)
    assert (found.value, found.state) == (None, "parse_fail")


def test_a_rubric_is_a_reward():
    reward = JudgedReward(RubricJudge(rubric(), seed=Seed(0)))
    scored = reward.score([Reply(PROMPT, (1,), (2,), t) for t in ("Boil water.", "I cannot help.")])
    assert scored.values.tolist() == pytest.approx([2 / 4.5, -1 / 4.5])
    assert scored.parts["refused"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("proposition", "why"),
    [
        ({"by": "regex", "id": "x", "text": "t", "pattern": "("}, "not a regular expression"),
        ({"by": "length", "id": "x", "text": "t"}, "no bound"),
        ({"by": "length", "id": "x", "text": "t", "least": 5, "most": 4}, "less than least"),
        ({"by": "judge", "id": "x", "text": "t", "weight": 0}, "decides nothing"),
        ({"by": "contains", "id": "x", "text": "t", "any_of": []}, "at least 1"),
        ({"by": "refusal", "id": "water", "text": "t"}, "same id: water"),
        ({"by": "refusal", "id": "x", "text": "t", "most": 3}, "Extra inputs"),
        ({"by": "telepathy", "id": "x", "text": "t"}, "does not match any"),
    ],
)
def test_propositions_that_cannot_work_are_refused(proposition, why):
    with pytest.raises(ValidationError, match=why):
        rubric(proposition)


def test_a_proposition_for_a_judge_needs_one():
    with pytest.raises(ConfigError, match="only a judge"):
        RubricJudge(rubric(ASKED), seed=Seed(0))
