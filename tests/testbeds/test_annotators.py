import math

import numpy as np
import pytest

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.records import Comparison, Prompt
from fairlead.testbeds.annotators import Annotator, accuracy_ceiling, label, preference

PROMPT = Prompt.of("is it so ?")
TRIALS = 4000


class Toy:
    """Worth is written in the reply; "yes" agrees with the user."""

    def gold(self, prompt: Prompt, response: str) -> float:
        return float(response.split()[0])

    def agrees_with_user(self, prompt: Prompt, response: str) -> bool:
        return "yes" in response


WORLD = Toy()


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("annotator", "a", "b", "advantage"),
    [
        (Annotator(name="x"), "1", "0.5", 0.5),
        (Annotator(name="x", fault="random"), "1", "0.5", 0.0),
        (Annotator(name="x", fault="inverted"), "1", "0.5", -0.5),
        (Annotator(name="x", fault="position", strength=0.75), "0.5", "1", 0.25),
        (Annotator(name="x", fault="length", strength=0.25), "0.5", "1 two three .", -1.0),
        (Annotator(name="x", fault="sycophantic", strength=0.75), "0.5 yes", "1 no", 0.25),
        (Annotator(name="x", fault="sycophantic", strength=0.75), "0.5 yes", "1 yes", -0.5),
    ],
)
def test_choices_follow_the_closed_form(annotator: Annotator, a: str, b: str, advantage: float):
    expected = sigmoid(advantage / 0.5)
    assert annotator.probability(WORLD, PROMPT, a, b) == pytest.approx(expected)
    chosen = [
        annotator.compare(WORLD, PROMPT, a, b, Seed(0).child(i)).chosen == a for i in range(TRIALS)
    ]
    assert np.mean(chosen) == pytest.approx(expected, abs=4 * math.sqrt(0.25 / TRIALS))


def test_temperature_sharpens_choices():
    sharp = Annotator(name="x", temperature=0.1)
    assert sharp.probability(WORLD, PROMPT, "1", "0.5") == pytest.approx(sigmoid(5))


def test_a_comparison_names_its_judge():
    made = Annotator(name="anna", temperature=0.01).compare(WORLD, PROMPT, "0", "1", Seed(0))
    assert (made.chosen, made.rejected) == ("1", "0")
    assert made.prompt.messages == PROMPT.messages
    assert made.prompt.provenance.annotator == "anna"


def test_random_order_cancels_position():
    """By hand: P(a) shown first is sigmoid(2), shown second 1 - sigmoid(2); on average a half."""
    pool = [Annotator(name="x", fault="position")]
    assert preference(WORLD, pool, PROMPT, "1", "1 .") == pytest.approx(0.5)


def test_ceiling_by_hand():
    other = Prompt.of("and that ?")
    pairs = [
        Comparison(prompt=PROMPT, chosen="1", rejected="0"),
        Comparison(prompt=PROMPT, chosen="0", rejected="1"),
        Comparison(prompt=other, chosen="1", rejected="1 ."),
    ]
    ceiling = accuracy_ceiling(WORLD, [Annotator(name="x")], pairs)
    assert ceiling.value == pytest.approx((2 * sigmoid(2) + 0.5) / 3)
    assert ceiling.n == 2


def test_ceiling_of_a_pool_is_of_the_mixture():
    """By hand: an honest and an inverted annotator together leave nothing to learn."""
    pairs = [
        Comparison(prompt=Prompt.of(text), chosen="1", rejected="0") for text in ("a", "b", "c")
    ]
    honest, liar = Annotator(name="x"), Annotator(name="y", fault="inverted")
    assert accuracy_ceiling(WORLD, [honest, liar], pairs).value == pytest.approx(0.5)
    mixed = accuracy_ceiling(WORLD, [honest, honest, liar], pairs).value
    assert mixed == pytest.approx((2 * sigmoid(2) + sigmoid(-2)) / 3)


def test_best_scorer_reaches_the_ceiling_on_drawn_labels():
    prompts = [Prompt.of(str(i)) for i in range(1500)]
    pool = [Annotator(name="x"), Annotator(name="y", fault="random")]
    made = label(WORLD, prompts, [["0", "0.3", "1"]] * 1500, pool, Seed(3)).comparisons
    right = np.mean([float(c.chosen) > float(c.rejected) for c in made])
    assert right == pytest.approx(accuracy_ceiling(WORLD, pool, made).value, abs=0.04)


def test_labels_count_identical_replies():
    labels = label(
        WORLD, [PROMPT] * 3, [["1", "1"], ["1", "0"], ["2", "2"]], [Annotator(name="x")], Seed(0)
    )
    assert labels.identical == 2
    assert [{c.chosen, c.rejected} for c in labels.comparisons] == [{"1", "0"}]


def test_labels_take_different_pairs_and_every_judge():
    pool = [Annotator(name="x"), Annotator(name="y")]
    replies = [["1", "2", "3"]] * 100
    labels = label(WORLD, [PROMPT] * 100, replies, pool, Seed(0), pairs_per_prompt=5)
    assert len(labels.comparisons) == 300
    assert {tuple(sorted((c.chosen, c.rejected))) for c in labels.comparisons[:3]} == {
        ("1", "2"),
        ("1", "3"),
        ("2", "3"),
    }
    by_x = sum(c.prompt.provenance.annotator == "x" for c in labels.comparisons)
    assert by_x == pytest.approx(150, abs=40)


def test_labels_repeat_under_the_seed():
    arguments = (WORLD, [PROMPT] * 50, [["1", "2", "1.5"]] * 50, [Annotator(name="x")])
    assert label(*arguments, Seed(1)) == label(*arguments, Seed(1))
    assert label(*arguments, Seed(1)) != label(*arguments, Seed(2))


@pytest.mark.parametrize(
    ("replies", "pool"),
    [([["1"]], [Annotator(name="x")]), ([["1", "2"]], []), ([], [Annotator(name="x")])],
)
def test_unusable_input_is_refused(replies: list[list[str]], pool: list[Annotator]):
    with pytest.raises(DataError):
        label(WORLD, [PROMPT], replies, pool, Seed(0))
