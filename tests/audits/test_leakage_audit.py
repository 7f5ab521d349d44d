import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.audits.base import Model, Subject
from fairlead.audits.leakage import Leakage
from fairlead.audits.planted import world
from fairlead.audits.planted.scripted import Scripted
from fairlead.core.errors import DataError
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.data.overlap import overlaps
from fairlead.judges.asking import Answer, Question

TEST = "How many apples does Ada have if she buys seven more because she likes them?"


def _model(own: float) -> Model:
    def behave(question: Question, draws: np.random.Generator) -> Answer:
        return Answer(probabilities=(own, 1 - own), mass=1.0)

    return Model("scripted", Scripted(behave, seed=Seed(0)))


def _run(tests: list[str], trained: list[str], own: float = 0.6, **settings: object) -> Finding:
    rows = [{"prompt": text, "response": "So it is."} for text in trained]
    with world.stored(test=[{"prompt": t} for t in tests], train=rows) as places:
        subject = Subject(_model(own), _model(0.6), Seed(0))
        train = (places["train"],) if trained else ()
        return Leakage(test=places["test"], train=train, **settings).run(subject)


def test_copies_without_case_and_punctuation_are_exact() -> None:
    (found,) = overlaps([TEST], ["Other words here.", TEST.upper().replace("?", " !!")])
    assert (found.exact, found.share, found.where) == (True, 1.0, 1)


def test_a_copy_within_a_longer_text_is_near() -> None:
    (found,) = overlaps([TEST], [f"Question 5. {TEST} Think first."])
    assert (found.exact, found.share) == (False, 1.0)


@given(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=12),
    st.lists(st.lists(st.sampled_from("abc"), max_size=12), max_size=4),
)
def test_shares_are_those_of_brute_force(text: list[str], others: list[list[str]]) -> None:
    def runs(words: list[str]) -> set[tuple[str, ...]]:
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}

    (found,) = overlaps([" ".join(text)], [" ".join(other) for other in others], run=3)
    mine = runs(text)
    shares = [len(mine & runs(other)) / len(mine) if mine else 0.0 for other in others]
    exact = any(other == text for other in others)
    assert found.share == (1.0 if exact else max(shares, default=0.0))
    assert found.exact == exact


def test_leaked_prompts_fail_and_are_shown() -> None:
    tests = [TEST, "What is the tallest building in the whole of that city today?"]
    found = _run(tests, [f"Please: {TEST}", "Nothing of the kind at all."], twins=False)
    (gate,) = found.gates
    assert gate.change.value == 0.5
    assert gate.verdict == "fail"
    assert found.passages[0].candidate == f"Please: {TEST}"
    assert found.tables[0].rows[1][1] == 1


def test_clean_training_data_pass() -> None:
    (gate,) = _run([TEST], ["Nothing of the kind at all."], twins=False).gates
    assert (gate.change.value, gate.verdict) == (0.0, "pass")


def test_short_prompts_are_left_out_and_counted() -> None:
    found = _run([TEST, "Hello there"], ["Hello there"], twins=False)
    assert found.gates[0].change.value == 0.0
    assert found.notes[0].startswith("1 test prompts of fewer than 5 words")
    with pytest.raises(DataError, match="long enough"):
        _run(["Hi"], ["Hi"])


def test_a_preference_for_the_own_wording_beyond_the_baseline_s() -> None:
    tests = [TEST.replace("seven", str(i)) for i in range(2, 30)]
    found = _run(tests, [], own=0.9)
    (gate,) = found.gates
    assert gate.change.value == pytest.approx(0.3)
    assert gate.verdict == "fail"
    assert _run(tests, []).gates[0].change.value == 0.0
    assert "copies were not looked for" in found.notes[0]


def test_a_twin_says_the_same_from_the_middle_on() -> None:
    asked: list[Question] = []

    def behave(question: Question, draws: np.random.Generator) -> Answer:
        asked.append(question)
        return Answer(probabilities=(0.5, 0.5), mass=1.0)

    model = Model("scripted", Scripted(behave, seed=Seed(0)))
    with world.stored(test=[{"prompt": TEST}, {"prompt": f"{TEST} Why?"}]) as places:
        Leakage(test=places["test"]).run(Subject(model, model, Seed(0)))
    first = asked[0]
    assert first.prompt.messages[-1].content + first.options[0] == TEST
    assert first.options[1].endswith("more since she likes them?")
