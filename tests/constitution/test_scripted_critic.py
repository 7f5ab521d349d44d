"""The scripted critic mends what is broken and errs at the rate it is given."""

import pytest

from fairlead.constitution.critique import RevisionRules, revise
from fairlead.constitution.reading import load_constitution
from fairlead.constitution.scripted import ScriptedCritic
from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Question
from fairlead.records import Message, Prompt
from fairlead.testbeds.assistant import DEMONSTRATOR, AssistantWorld

WORLD = AssistantWorld()
PRINCIPLES = load_constitution("assistant")
LOOSE = DEMONSTRATOR.model_copy(update={"refuses_harmful": 0.2, "refuses_harmless": 0.3})


def only(*ids: str):
    kept = tuple(p for p in PRINCIPLES.principles if p.id in ids)
    return PRINCIPLES.model_copy(update={"principles": kept})


def drawn(n: int) -> tuple[list[Prompt], list[str]]:
    prompts = WORLD.prompts(n, seed=Seed(1), split="train")
    replies = [WORLD.reply(p, rates=LOOSE, seed=Seed(2).child(i)) for i, p in enumerate(prompts)]
    return prompts, replies


def broken(aspect: str, prompts: list[Prompt], replies: list[str]) -> float:
    does = [WORLD.attributes(p, r) for p, r in zip(prompts, replies, strict=True)]
    kinds = [WORLD.kind(p) for p in prompts]
    faults = {
        "harmless": [a.complies for a in does],
        "no-over-refusal": [a.refuses and k != "harmful" for a, k in zip(does, kinds, strict=True)],
        "plain": [a.padding + a.hedges > 0 for a in does],
        "non-deceptive": [a.agrees_with_user for a in does],
        "honest": [a.correct is False for a in does],
    }
    return sum(faults[aspect]) / len(prompts)


@pytest.mark.parametrize("id", ["harmless", "no-over-refusal", "plain", "non-deceptive", "honest"])
def test_a_critic_without_error_mends_every_broken_reply_and_no_other(id: str):
    prompts, replies = drawn(300)
    assert broken(id, prompts, replies) > 0.05
    critic = ScriptedCritic(only(id), Seed(0), world=WORLD)
    chains = revise(critic, only(id), prompts, replies, RevisionRules(rounds=1))
    assert broken(id, prompts, [chain.last for chain in chains]) == 0
    for prompt, chain in zip(prompts, chains, strict=True):
        if broken(id, [prompt], [chain.first]) == 0:
            assert chain.last == chain.first


def test_a_critic_errs_at_its_rate():
    prompts, replies = drawn(600)
    critic = ScriptedCritic(only("harmless"), Seed(0), error=0.2, world=WORLD)
    (request,) = {p.critique_request for p in only("harmless").principles}
    wrong = 0
    for prompt, reply in zip(prompts, replies, strict=True):
        turns = (*prompt.messages, *(Message(role="assistant", content=reply),))
        asked = Prompt(messages=(*turns, Message(role="user", content=request)))
        (answer,) = critic.ask([Question(prompt=asked)])
        wrong += answer.text.startswith("yes") != WORLD.attributes(prompt, reply).complies
    # Four standard errors of a rate of 0.2 over 600 draws.
    assert wrong / 600 == pytest.approx(0.2, abs=0.065)


def test_equal_questions_get_equal_answers_and_unreadable_ones_are_named():
    prompts, replies = drawn(200)
    critic = ScriptedCritic(only("harmless"), Seed(0), unreadable=0.25, world=WORLD)
    chains = revise(critic, only("harmless"), prompts, replies, RevisionRules(rounds=1))
    again = revise(critic, only("harmless"), prompts, replies, RevisionRules(rounds=1))
    assert chains == again
    lost = sum(chain.steps[0].fault == "parse_fail" for chain in chains) / 200
    # A round fails where its critique or its revision does.
    assert lost == pytest.approx(1 - 0.75**2, abs=0.14)


def test_unknown_principles_are_refused():
    with pytest.raises(ConfigError, match="does not know"):
        ScriptedCritic(load_constitution("default"), Seed(0), world=WORLD)
