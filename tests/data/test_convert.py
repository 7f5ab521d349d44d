import pytest

from fairlead.core.errors import DataError
from fairlead.data.convert import (
    demonstrations,
    preferences,
    prompts,
    step_comparisons,
    thumbs,
)
from fairlead.records import (
    Comparison,
    Demonstration,
    Problem,
    Prompt,
    Ranking,
    Rating,
    Record,
    StepLabels,
)

ASKED = Prompt.of("Why?")
DEMONSTRATION = Demonstration(prompt=ASKED, response="Because.")
COMPARISON = Comparison(prompt=Prompt.of("How?"), chosen="So.", rejected="No.")
TIE = Comparison(prompt=ASKED, chosen="a", rejected="b", tie=True)
RANKING = Ranking(prompt=ASKED, responses=("x", "y", "z"), ranks=(2, 1, 3))
ALL_TIED = Ranking(prompt=ASKED, responses=("x", "y"), ranks=(1, 1))
LIKED = Rating(prompt=ASKED, response="good", value=1.0)
DISLIKED = Rating(prompt=ASKED, response="bad", value=0.0)
SOLVED = Problem(prompt=ASKED, answer="4", solution="2+2 is 4")
UNSOLVED = Problem(prompt=ASKED, answer="4")
EVERYTHING: list[Record] = [
    DEMONSTRATION,
    COMPARISON,
    TIE,
    RANKING,
    ALL_TIED,
    LIKED,
    DISLIKED,
    SOLVED,
    UNSOLVED,
]


def test_replies_worth_imitating() -> None:
    assert [d.response for d in demonstrations(EVERYTHING)] == [
        "Because.",
        "So.",
        "y",
        "x",  # the first of equals
        "good",
        "2+2 is 4",
    ]


def test_preferences_are_those_that_prefer_something() -> None:
    assert preferences(EVERYTHING) == [COMPARISON, RANKING]


def test_prompts_once_each_in_order() -> None:
    first = Prompt.of("Why?", subset="a")
    given: list[Record] = [COMPARISON, first, DEMONSTRATION, Prompt.of("How?")]
    assert [p.first_user_turn for p in prompts(given)] == ["How?", "Why?"]
    assert prompts(given)[1].subset == "a"


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="holds no comparisons or rankings") as refused:
        preferences([DEMONSTRATION, TIE])
    assert refused.value.got == "2 records of kind Comparison, Demonstration"
    with pytest.raises(DataError, match="holds no replies to imitate"):
        demonstrations([DISLIKED])
    with pytest.raises(DataError, match="holds no prompts") as refused:
        prompts([])
    assert refused.value.got == "0 records of kind none"


def test_thumbs_are_ratings_and_both_sides_of_what_was_compared() -> None:
    long = Ranking(prompt=ASKED, responses=("a", "b", "c", "d"), ranks=(2, 1, 3, 3))
    judged = [(r.response, r.value) for r in thumbs([*EVERYTHING, long])]
    assert judged == [
        ("So.", 1.0),
        ("No.", 0.0),
        ("y", 1.0),
        ("z", 0.0),
        ("good", 1.0),
        ("bad", 0.0),
        ("b", 1.0),
        ("c", 0.0),
        ("d", 0.0),
    ]


def test_scores_below_and_above_nothing() -> None:
    scored = [Rating(prompt=ASKED, response=str(v), value=v) for v in (-2.0, 0.0, 0.5, 3.0)]
    assert [r.value for r in thumbs(scored)] == [0.0, 0.0, 1.0, 1.0]


def test_thumbs_need_judgements() -> None:
    with pytest.raises(DataError, match="holds no replies judged good or bad"):
        thumbs([DEMONSTRATION, TIE, ALL_TIED])


def solution(*judged: tuple[str, int | None], prompt: Prompt = ASKED) -> StepLabels:
    steps, labels = zip(*judged, strict=True)
    return StepLabels(prompt=prompt, steps=steps, labels=labels)


def shown(pairs: list[Comparison]) -> list[tuple[str, str, str]]:
    assert all(pair.prompt.messages[:-1] == ASKED.messages for pair in pairs)
    assert all(pair.prompt.continues for pair in pairs)
    return [(pair.prompt.messages[-1].content, pair.chosen, pair.rejected) for pair in pairs]


def test_steps_are_compared_after_the_same_right_steps() -> None:
    pairs = step_comparisons(
        [
            solution(("one", 1), ("two", 1), ("three", 1)),
            solution(("one", 1), ("two", 1), ("drei", -1), ("four", None)),
            solution(("uno", -1), ("two", 1), ("trois", -1)),  # not right so far
        ]
    )
    assert shown(pairs) == [("", "one", "uno"), ("one\ntwo", "\nthree", "\ndrei")]


def test_each_wrong_step_once_with_the_right_ones_in_turn() -> None:
    steps = [("a", 1), ("b", 1), ("x", -1), ("y", -1), ("z", -1), ("x", -1), ("n", 0)]
    pairs = step_comparisons([solution(step) for step in steps])
    assert shown(pairs) == [("", "a", "x"), ("", "b", "y"), ("", "a", "z")]


def test_steps_of_other_prompts_and_disputed_ones_are_not_compared() -> None:
    elsewhere = solution(("a", 1), prompt=Prompt.of("How?"))
    disputed = [solution(("a", 1)), solution(("a", -1)), solution(("b", -1))]
    with pytest.raises(DataError, match="no wrong steps with a right one"):
        step_comparisons([elsewhere, solution(("c", -1)), *disputed, DEMONSTRATION])
