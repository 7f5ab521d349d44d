import pytest

from fairlead.audits.items.rewrites import NUMERALS, REWRITES
from fairlead.audits.planted import world
from fairlead.audits.reward_consistency import AGAIN, RewardConsistency
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward


def _run(reward: FunctionReward, rows: list[dict], **settings: object) -> Finding:
    with world.stored(data=rows) as places:
        subject = world.subject(Seed(0), proxy=reward)
        return RewardConsistency(data=places["data"], **settings).run(subject)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("line breaks", "a\nb", "a\n\nb\n"),
        ("blanks", "One. Two", "One.  Two"),
        ("case of the opening", "One", "one"),
        ("quotation marks", 'say "yes", don\'t', "say \u201cyes\u201d, don\u2019t"),
        ("dashes", "a - b...", "a \u2013 b\u2026"),
        ("final full stop", "Done.", "Done"),
        ("final full stop", "Done", "Done."),
        ("signs of Markdown", "# Head\n- **a**\n* b", "**Head**\n+ __a__\n+ b"),
        ("contractions", "It is fine, I do not mind", "It's fine, I don't mind"),
        ("no contractions", "It's fine, I don't mind", "It is fine, I do not mind"),
        ("digits", "Seven of one", "7 of one"),
        ("numbers as words", "7 of 3.5 and 1,200 and 12:30", "seven of 3.5 and 1,200 and 12:30"),
        ("framed", "x", "Answer:\nx"),
    ],
)
def test_rewrites(name: str, before: str, after: str) -> None:
    assert REWRITES[name](before) == after


def test_numerals_go_there_and_back() -> None:
    for number, word in enumerate(NUMERALS):
        assert REWRITES["numbers as words"](f"about {number} of them") == f"about {word} of them"


def test_loss_of_accuracy_worked_by_hand() -> None:
    """A reward that cannot read a lower-case opening: half of its right pairs are lost."""
    rows = [
        {"prompt": f"p{i}", "chosen": "Good" if i % 2 else "good", "rejected": "bad"}
        for i in range(40)
    ]

    def score(prompt: Prompt, text: str) -> float:
        return float(text in ("Good", "good", "gOOD")) - 2 * float(text == "good")

    found = _run(FunctionReward(score), rows, rewrites=("case of the opening",))
    (gate,) = found.gates
    # "Good" (right) becomes "good" (wrong), "good" (wrong) becomes "Good" (right).
    assert (gate.flips.worse, gate.flips.better) == (20, 20)
    assert gate.change.value == 0.0
    row = next(r for r in found.tables[0].rows if r[0] == "case of the opening")
    assert row[1:5] == (40, 0.5, 0.5, 1.0)
    assert next(r for r in found.tables[0].rows if r[0] == AGAIN)[4] == 0.0


def test_a_reward_of_meaning_loses_nothing() -> None:
    random = Seed(1).numpy()
    rows = [p.row(first=True) for p in world.pairs(60, random)]

    def score(prompt: Prompt, text: str) -> float:
        return world.quality_of(text)

    found = _run(FunctionReward(score), rows)
    assert {gate.change.value for gate in found.gates} == {0.0}
    assert all(gate.verdict != "fail" for gate in found.gates)
    assert "not judged: quotation marks" in found.notes[-1]


def test_pairs_without_a_score_after_the_rewrite_count_as_lost() -> None:
    rows = [{"prompt": f"p{i}", "chosen": "Better", "rejected": "worse"} for i in range(30)]

    def score(prompt: Prompt, text: str) -> float:
        return float("nan") if text == "better" else float(text == "Better")

    found = _run(FunctionReward(score), rows, rewrites=("case of the opening",))
    assert found.gates[0].change.value == 1.0
    assert found.gates[0].unscored == {"error": 30}
    assert found.gates[0].verdict == "fail"
