"""Numbers worked out by hand in the comments."""

import pytest
import torch
from pydantic import ValidationError
from scripted import Scripted, shown

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.judges.direct import DirectJudge, DirectSettings
from fairlead.judges.reward import JudgedReward
from fairlead.records import Prompt
from fairlead.rewards.base import Reply

PROMPT = Prompt.of("Name a colour.")


def grading(grades: dict[str, tuple[float, ...]], *, mass: float = 0.8) -> Scripted:
    """Probabilities of the grades by reply; a reply without any is not judged."""

    def script(question: Question) -> Answer:
        reply = shown(question)["reply"]
        if reply not in grades:
            return Answer(state="judge_refused", detail="no comment", prompt_tokens=9)
        return Answer(probabilities=grades[reply], mass=mass, prompt_tokens=9, completion_tokens=1)

    return Scripted(script)


def only(grade: int) -> tuple[float, ...]:
    return tuple(float(g == grade) for g in range(1, 10))


def replies(*texts: str, prompt: Prompt = PROMPT) -> list[Reply]:
    return [Reply(prompt, (1,), (2,), text) for text in texts]


def test_score_is_the_expected_grade_from_minus_one_to_one():
    half = (0.0,) * 6 + (0.5, 0.25, 0.25)
    scripted = grading({"red": half, "bad": only(1), "best": only(9), "so so": only(5)})
    judge = DirectJudge(scripted, seed=Seed(0))
    scores = judge.scores([(PROMPT, text) for text in ("red", "bad", "best", "so so")])
    # 7/2 + 8/4 + 9/4 = 7.75; (7.75 - 5) / 4 = 0.6875
    assert [s.value for s in scores] == [0.6875, -1.0, 1.0, 0.0]
    assert [s.parts["grade"] for s in scores] == [7.75, 1.0, 9.0, 5.0]
    assert (scores[0].mass, scores[0].prompt_tokens, scores[0].completion_tokens) == (0.8, 9, 1)
    assert scripted.asked[0].options == tuple("123456789")
    assert judge.judge(PROMPT, ["best", "bad"]) == [1.0, -1.0]


def test_another_scale_is_centred_as_well():
    scripted = grading({"red": (0.25, 0.0, 0.25, 0.5)})
    judge = DirectJudge(scripted, DirectSettings(lowest=0, highest=3), seed=Seed(0))
    # 0/4 + 2/4 + 3/2 = 2; (2 - 1.5) / 1.5 = 1/3
    assert judge.judge(PROMPT, ["red"]) == [pytest.approx(1 / 3)]


@pytest.mark.parametrize(("lowest", "highest"), [(1, 10), (5, 5), (-1, 5)])
def test_scales_whose_grades_begin_alike_or_do_not_rise_are_refused(lowest, highest):
    with pytest.raises(ValidationError, match="begins like"):
        DirectSettings(lowest=lowest, highest=highest)


def test_unscored_replies_have_a_state_and_no_value():
    judge = DirectJudge(grading({"red": only(9)}), seed=Seed(0))
    there, refused, empty = judge.scores([(PROMPT, "red"), (PROMPT, "blue"), (PROMPT, "  ")])
    assert (there.value, there.state) == (1.0, "scored")
    assert (refused.value, refused.state, refused.detail) == (None, "judge_refused", "no comment")
    assert (empty.value, empty.state, empty.prompt_tokens) == (None, "target_refused", 0)


def test_too_little_mass_is_no_grade():
    judge = DirectJudge(
        grading({"red": only(9)}, mass=0.1), DirectSettings(least_mass=0.5), seed=Seed(0)
    )
    (score,) = judge.scores([(PROMPT, "red")])
    assert (score.value, score.state, score.parts) == (None, "parse_fail", {})
    assert score.detail == "options have 0.1 of the probability"


def test_as_a_reward_the_unscored_have_the_mean_of_their_prompt_and_empty_ones_the_lowest():
    scripted = grading({"red": only(9), "dull": only(6)})
    reward = JudgedReward(DirectJudge(scripted, seed=Seed(0), name="grades"))
    other = Prompt.of("Name a tree.")
    scored = reward.score([*replies("red", "dull", "hidden", ""), *replies("unread", prompt=other)])
    # red 1, dull (6 - 5) / 4 = 0.25, empty -1: their mean is 1/12; the other prompt has the mean
    # of all that were given
    mean = (1 + 0.25 - 1) / 3
    assert scored.values.tolist() == pytest.approx([1.0, 0.25, mean, -1.0, mean])
    assert scored.parts["unparsed"].tolist() == [0, 0, 1, 0, 1]
    assert scored.parts["grade"].tolist() == pytest.approx([9.0, 6.0, 7.5, 7.5, 7.5])
    assert scored.reasons == (
        "scored",
        "scored",
        "judge_refused",
        "target_refused",
        "judge_refused",
    )
    assert reward.name == "grades" and scored.values.dtype == torch.float32


def test_a_reward_asks_about_all_replies_at_once():
    calls = []

    class Counting(Scripted):
        def ask(self, questions):
            calls.append(len(questions))
            return super().ask(questions)

    counting = Counting(grading({"red": only(9)}).script)
    many = [r for i in range(5) for r in replies("red", "red", prompt=Prompt.of(f"q{i}"))]
    scored = JudgedReward(DirectJudge(counting, seed=Seed(0))).score(many)
    assert calls == [10] and scored.values.tolist() == [1.0] * 10


def test_a_reward_that_read_nothing_ends_the_run():
    with pytest.raises(DataError, match="not one verdict"):
        JudgedReward(DirectJudge(grading({}), seed=Seed(0))).score(replies("red", "blue"))
