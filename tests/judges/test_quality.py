"""Judges with planted faults are found; hand-worked numbers are in the comments."""

import subprocess
import sys

import numpy as np
import pytest
from scripted import Scripted, prefers, shown

from fairlead.core.errors import DataError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question, State
from fairlead.judges.pairwise import Opinion, Order, Outcome, Pair, PairwiseJudge
from fairlead.judges.quality import JudgedPair, judge_quality
from fairlead.judges.server.settings import Price
from fairlead.records import Prompt
from fairlead.stats.prediction_powered import prediction_powered

WORTH = {"good": 0.8, "fine": 0.6, "poor": 0.3, "bad": 0.1}


def outcome(places: tuple[float, float], *, tokens: tuple[int, int] = (90, 10)) -> Outcome:
    """What a judge with these preferences for the first place makes of a pair."""
    both = zip(places, tokens, strict=True)
    orders = [Order(place, "scored", prompt_tokens=count) for place, count in both]
    label = (places[0] + 1 - places[1]) / 2
    return Outcome(label, "scored", (Opinion("j", (orders[0], orders[1]), label, "scored"),))


def unscored(state: State) -> Outcome:
    return Outcome(None, state)


def row(number: int, made: Outcome, people: float | None = None, **more) -> JudgedPair:
    lengths = more.pop("lengths", (100, 100))
    return JudgedPair(made, lengths, f"prompt {number}", people, **more)


def measured(rows: list[JudgedPair], **options):
    return judge_quality(rows, seed=Seed(3), **options)


def test_agreement_counts_sides_and_bounds_the_unscored():
    rows = [
        row(0, outcome((0.9, 0.1)), 1.0),  # agrees
        row(1, outcome((0.2, 0.8)), 0.25),  # agrees
        row(2, outcome((0.9, 0.2)), 0.0),  # does not
        row(3, outcome((0.9, 0.2)), 0.8),  # agrees
        row(4, outcome((0.9, 0.2)), 0.5),  # people see no difference
        row(5, outcome((0.7, 0.7)), 1.0),  # the judge sees none
        row(6, unscored("parse_fail"), 1.0),
        row(7, unscored("judge_refused"), 0.0),
        row(8, outcome((0.9, 0.2))),  # nobody was asked
    ]
    found = measured(rows)
    assert found["agreement"].value == 3 / 4
    # Of the 7 pairs that people decided: 3 agree, 2 are unscored, and one half is not right.
    assert found["agreement_if_unscored_wrong"].value == pytest.approx(3 / 7)
    assert found["agreement_if_unscored_right"].value == pytest.approx(5 / 7)
    assert found.ties["agreement"] == 2
    assert found.validated
    assert found.states == {"scored": 7, "parse_fail": 1, "judge_refused": 1}
    assert found["scored"].value == pytest.approx(7 / 9)
    assert found["ended_as_parse_fail"].value == pytest.approx(1 / 9)


def test_kappa_by_hand():
    # Judge: first, second, first, first; people: first, second, second, first.
    # 3/4 agree; by chance 3/4 * 2/4 + 1/4 * 2/4 = 1/2; kappa (3/4 - 1/2) / (1/2) = 1/2
    labels = [((0.9, 0.1), 1.0), ((0.2, 0.8), 0.25), ((0.9, 0.2), 0.0), ((0.9, 0.2), 0.8)]
    rows = [row(i, outcome(places), people) for i, (places, people) in enumerate(labels * 10)]
    assert measured(rows)["kappa"].value == pytest.approx(0.5)


def test_shares_are_bounded_by_the_unscored():
    rows = [row(i, outcome((0.75, 0.25))) for i in range(6)]
    rows += [row(6 + i, unscored("error")) for i in range(2)]
    found = measured(rows)
    assert found["prefers_first_at_least"].value == pytest.approx(0.75 * 6 / 8)
    assert found["prefers_first_at_most"].value == pytest.approx((0.75 * 6 + 2) / 8)


def test_a_judge_whom_nobody_checked_is_not_validated():
    found = measured([row(i, outcome((0.9, 0.2))) for i in range(4)])
    assert not found.validated
    assert found.missing["agreement"] == "no pair was labelled by people"
    assert found.missing["kappa"] == "no pair was labelled by people"
    assert "fewer than two" in found.missing["prefers_first_corrected"]
    assert found.missing["preference_fairness"].startswith("no pair had different winners")
    assert found.missing["cost_per_thousand_labels"] == "no price is set"


def test_places_by_hand():
    rows = [
        row(0, outcome((0.9, 0.1))),  # the same winner
        row(1, outcome((0.9, 0.8))),  # the first place twice
        row(2, outcome((0.7, 0.6))),  # the first place twice
        row(3, outcome((0.2, 0.3))),  # the second place twice
        row(4, outcome((0.5, 0.3))),  # no winner in one order
        row(5, outcome((0.1, 0.6))),  # the same winner
    ]
    found = measured(rows)
    assert found["position_consistency"].value == pytest.approx(2 / 5)
    assert found["preference_fairness"].value == pytest.approx((2 - 1) / 3)
    assert found.ties["position_consistency"] == 1
    means = [0.5, 0.85, 0.65, 0.25, 0.4, 0.35]
    assert found["first_place"].value == pytest.approx(np.mean(means))


def test_repetitions_and_costs_by_hand():
    right, wrong = outcome((0.9, 0.1)), outcome((0.1, 0.9))
    rows = [
        row(0, right, repeats=(right, wrong)),  # 2 of 3
        row(1, right, repeats=(right, unscored("error"))),  # 2 of 2
        row(2, wrong),  # not repeated
        row(3, unscored("error")),
    ]
    found = measured(rows, cost=Price(prompt=10.0, completion=0.0).of)
    assert found["repetition_stability"].value == pytest.approx((2 / 3 + 1) / 2)
    # 3 outcomes of 100 tokens and one of none, 3 labels; 100 tokens at 10 a million
    assert found["tokens_per_label"].value == pytest.approx(100)
    assert found["cost_per_thousand_labels"].value == pytest.approx(1.0)


def test_lengths_by_hand():
    first, second = outcome((0.9, 0.1)), outcome((0.1, 0.9))
    rows = [
        row(0, first, 1.0, lengths=(200, 100)),  # longer, people too
        row(1, first, 0.0, lengths=(200, 100)),  # longer, people not
        row(2, second, lengths=(100, 131)),  # longer
        row(3, second, lengths=(131, 100)),  # shorter
        row(4, first, lengths=(130, 100)),  # 30 is not enough
    ]
    found = measured(rows)
    assert found["prefers_longer"].value == pytest.approx(3 / 4)
    assert found["people_prefer_longer"].value == pytest.approx(1 / 2)


def simulated(script, count: int = 200) -> list[JudgedPair]:
    """Pairs of replies whose worth people see, judged by a script."""
    random = np.random.default_rng(0)
    kinds = list(WORTH)
    pairs = []
    for i in range(count):
        one, other = random.choice(kinds, 2, replace=False)
        texts = [f"{kind} {'long ' * int(random.integers(1, 30))}" for kind in (one, other)]
        pairs.append(Pair(Prompt.of(f"prompt {i}"), *texts))
    outcomes = PairwiseJudge([Scripted(script)], seed=Seed(1)).compare(pairs)
    return [
        row(
            i,
            made,
            float(worth(pair.first) > worth(pair.second)),
            lengths=(len(pair.first), len(pair.second)),
        )
        for i, (pair, made) in enumerate(zip(pairs, outcomes, strict=True))
    ]


def worth(text: str) -> float:
    return WORTH[text.split()[0]]


def test_a_fair_judge_passes():
    found = measured(simulated(prefers(lambda a, b: 0.5 + (worth(a) - worth(b)) / 2)))
    assert found["agreement"].value == found["position_consistency"].value == 1.0
    assert found["kappa"].value == 1.0
    assert found["first_place"].value == pytest.approx(0.5)
    assert found["first_place"].low <= 0.5 <= found["first_place"].high
    longer, people = found["prefers_longer"], found["people_prefer_longer"]
    assert longer.value == people.value and longer.low < 0.5 < longer.high


def test_a_judge_that_loves_the_first_place_is_found():
    found = measured(simulated(prefers(lambda a, b: min(0.8 + (worth(a) - worth(b)) / 2, 1.0))))
    assert found["position_consistency"].high < 0.5
    assert found["preference_fairness"].low > 0.9
    assert found["first_place"].low > 0.7
    assert found["agreement"].value == 1.0  # both orders averaged undo it


def test_a_judge_that_loves_length_is_found():
    found = measured(simulated(prefers(lambda a, b: 0.5 + 0.4 * np.sign(len(a) - len(b)))))
    assert found["prefers_longer"].value == 1.0
    assert found["prefers_longer"].low > found["people_prefer_longer"].high
    assert found["kappa"].high < 0.3
    assert found["position_consistency"].value == 1.0


def test_a_judge_that_refuses_is_found_and_its_silence_counts_for_nothing():
    fair = prefers(lambda a, b: 0.5 + (worth(a) - worth(b)) / 2)

    def script(question: Question) -> Answer:
        if any("bad" in text for text in shown(question).values()):
            return Answer(state="judge_refused", detail="I would rather not say")
        return fair(question)

    rows = simulated(script)
    found = measured(rows)
    refused = sum(pair.outcome.state == "judge_refused" for pair in rows)
    assert found.states == {"scored": 200 - refused, "judge_refused": refused}
    assert 0.4 < found["ended_as_judge_refused"].value < 0.6
    assert found["agreement"].value == 1.0
    assert found["agreement_if_unscored_wrong"].value == pytest.approx(1 - refused / 200)
    assert found["agreement_if_unscored_right"].value == 1.0


def test_correction_by_people_is_exact_by_hand_and_undoes_a_bias():
    found = prediction_powered([0.8, 0.6, 0.7, 0.9], [0.8, 0.6], [1.0, 0.4])
    # mean 0.75; gaps 0.2 and -0.2: mean 0, variance 0.08; var of the labels 0.05 / 3
    assert found.value == pytest.approx(0.75)
    half = 1.959964 * (0.05 / 3 / 4 + 0.08 / 2) ** 0.5
    assert (found.low, found.high) == pytest.approx((0.75 - half, 0.75 + half), abs=1e-6)
    random = np.random.default_rng(1)
    people = (random.random(4000) < 0.4).astype(float)
    judged = np.clip(people + 0.2, 0, 1)  # a judge that gives 0.2 where people say 0
    some = random.choice(4000, 400, replace=False)
    corrected = prediction_powered(judged, judged[some], people[some])
    assert corrected.low < people.mean() < corrected.high < judged.mean()


def test_nothing_judged_is_refused():
    with pytest.raises(DataError, match="no pairs"):
        measured([])


def test_quality_of_judges_needs_no_torch():
    code = "import sys, fairlead.judges.quality, fairlead.judges.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "numpy" in loaded and not loaded & {"torch", "transformers", "openai"}
