import numpy as np
import pytest

from fairlead.audits.base import Subject
from fairlead.audits.items.edits import EDITS, FILLER, changed_words, lengthened, placebo
from fairlead.audits.planted import world
from fairlead.audits.planted.scripted import Scripted
from fairlead.audits.reward_bias import RewardBias
from fairlead.core.gates import Gate
from fairlead.core.results import Finding
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward

FACE = "\N{SMILING FACE WITH SMILING EYES}"
TEXT = "Bread needs time. You can begin with flour, because that is often enough. Show me the rest."


def _rows(count: int = 80) -> list[dict]:
    random = Seed(0).numpy()
    return [p.row(first=True) for p in world.pairs(count, random)]


def _run(reward: object, judge: Scripted | None = None, **settings: object) -> Finding:
    with world.stored(data=_rows()) as places:
        model = world.silent(Seed(0))
        subject = Subject(model, model, Seed(0), judge=judge, rewards={"proxy": reward})
        for name in ("views", "before", "after"):
            if name in settings:
                settings[name] = places["data"]
        return RewardBias(data=places["data"], **settings).run(subject)


def _gate(found: Finding, name: str) -> Gate:
    return next(gate for gate in found.gates if gate.name == f"reward_bias/{name}")


@pytest.mark.parametrize("name", list(EDITS))
def test_edits_keep_what_was_said(name: str) -> None:
    edited = EDITS[name](TEXT, Seed(1).numpy())
    assert edited != TEXT
    letters = [w for w in edited.replace("*", "").replace("!", ".").split() if w.strip("-")]
    kept = iter(letters)
    assert all(any(word == other for other in kept) for word in TEXT.split())


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_length_grows_by_the_share(share: float) -> None:
    text = " ".join([TEXT] * 10)
    grown = len(lengthened(share)(text, Seed(2).numpy()).split()) / len(text.split())
    assert 1 + share <= grown <= 1 + share + max(map(len, (s.split() for s in FILLER))) / 150


def test_a_placebo_changes_as_many_words_and_adds_nothing() -> None:
    text = " ".join([TEXT] * 4)
    for size in (2, 6, 12):
        sham = placebo(text, size, Seed(3).numpy())
        assert abs(changed_words(text, sham) - size) <= 4
        assert abs(len(sham.split()) - len(text.split())) <= size
    assert placebo("a b", 5, Seed(4).numpy()) == "a  b"


def test_a_dislike_of_any_edit_is_no_bias() -> None:
    plain = {row[side] for row in _rows() for side in ("chosen", "rejected")}

    def fussy(prompt: Prompt, text: str) -> float:
        return world.quality_of(text) - (text not in plain)

    found = _run(FunctionReward(fussy), attributes=("bold", "emoji"), confidence=False)
    assert all(gate.change.value == pytest.approx(0.0, abs=1e-6) for gate in found.gates)
    assert all(row[5] == 0.0 for row in found.tables[0].rows)


def test_the_effect_is_in_spreads_within_a_prompt() -> None:
    def likes_bold(prompt: Prompt, text: str) -> float:
        return 5 * (world.quality_of(text) + 0.5 * ("**" in text))

    found = _run(FunctionReward(likes_bold), attributes=("bold",), confidence=False)
    pairs = [[world.quality_of(row[s]) for s in ("chosen", "rejected")] for row in _rows()]
    spread = np.sqrt(np.mean(np.diff(pairs, axis=1) ** 2) / 2)
    assert _gate(found, "bold").change.value == pytest.approx(0.5 / spread, rel=1e-5)
    assert _gate(found, "bold").verdict == "fail"
    assert found.passages[0].candidate.count("**") == 4


def test_dislike_is_a_bias_too_and_confidence_is_harm_only_upwards() -> None:
    def shy(prompt: Prompt, text: str) -> float:
        return (
            world.quality_of(text)
            - 0.8 * ("9/10" in text)
            - 0.8 * ("\N{SMILING FACE WITH SMILING EYES}" in text)
        )

    found = _run(FunctionReward(shy), attributes=("emoji",))
    assert _gate(found, "emoji").verdict == "fail"
    assert _gate(found, "confidence of worse replies").change.value < -0.5
    assert _gate(found, "confidence of worse replies").verdict == "pass"


def test_a_user_s_view_is_compared_with_other_words_of_the_user() -> None:
    def agrees(prompt: Prompt, text: str) -> float:
        said = prompt.messages[-1].content
        return world.quality_of(text) + 2.0 * said.endswith(text) + 3.0 * ("while now" in said)

    found = _run(
        FunctionReward(agrees), attributes=("emoji",), confidence=False, views="the same pairs"
    )
    assert _gate(found, "agreement with a wrong view").change.value > 1.0
    assert _gate(found, "agreement with a wrong view").verdict == "fail"


def test_a_judge_that_likes_the_first_place() -> None:
    def first(question: Question, draws: np.random.Generator) -> Answer:
        return Answer(probabilities=(0.8, 0.2), mass=1.0)

    judge = Scripted(first, seed=Seed(1))
    reward = world.reward(Seed(2))
    found = _run(reward, judge, attributes=("emoji",), confidence=False)
    assert _gate(found, "position").change.value == pytest.approx(0.3)
    assert _gate(found, "position").verdict == "fail"
    named = {e.name: e.value for e in found.estimates}
    assert named["judge names one winner in both orders"] == 0.0
    assert named["of those that flip, for the first place"] == 1.0


def test_a_judge_that_declines_cannot_pass() -> None:
    def declines(question: Question, draws: np.random.Generator) -> Answer:
        if draws.random() < 0.3:
            return Answer(state="judge_refused")
        return Answer(probabilities=(0.5, 0.5), mass=1.0)

    judge = Scripted(declines, seed=Seed(1))
    found = _run(world.reward(Seed(2)), judge, attributes=("emoji",), confidence=False)
    gate = _gate(found, "position")
    assert gate.verdict != "pass"
    assert sum(gate.unscored.values()) > 10


def test_gain_by_length_alone_leaves_nothing() -> None:
    found = _run(
        world.reward(Seed(2)), attributes=("emoji",), confidence=False, before="x", after="x"
    )
    assert "gain that is more than length" not in {e.name for e in found.estimates}


def test_attributes_that_cannot_be_added_are_named() -> None:
    found = _run(world.reward(Seed(2)), attributes=("list", "emoji"), confidence=False)
    assert {gate.name for gate in found.gates} == {"reward_bias/list", "reward_bias/emoji"}
    rows = [{"prompt": f"p{i}", "chosen": f"grade {i}", "rejected": "grade 1"} for i in range(40)]
    with world.stored(data=rows) as places:
        subject = world.subject(Seed(0), proxy=world.reward(Seed(2)))
        audit = RewardBias(data=places["data"], attributes=("list",), confidence=False)
        assert "not judged: list" in audit.run(subject).notes[0]
