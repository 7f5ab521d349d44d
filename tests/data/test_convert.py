import pytest

from fairlead.core.errors import DataError
from fairlead.data.convert import demonstrations, preferences, prompts
from fairlead.records import Comparison, Demonstration, Problem, Prompt, Ranking, Rating, Record

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
