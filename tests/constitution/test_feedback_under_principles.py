"""Comparisons under principles: which reply wins, by which words, and what a new version asks."""

import pytest

from fairlead.constitution.feedback import (
    Candidate,
    candidates,
    comparison,
    judge_under,
    relabel,
    source_of,
)
from fairlead.constitution.principles import Constitution
from fairlead.constitution.reading import load_constitution
from fairlead.constitution.scripted import ScriptedCritic
from fairlead.core.seeds import Seed
from fairlead.judges.pairwise import PairwiseJudge, PairwiseSettings
from fairlead.records import Comparison, Prompt
from fairlead.testbeds.assistant import DEMONSTRATOR, AssistantWorld

WORLD = AssistantWorld()
PRINCIPLES = load_constitution("assistant")
LOOSE = DEMONSTRATOR.model_copy(update={"refuses_harmful": 0.5, "refuses_harmless": 0.3})


def pairs(n: int) -> list[Candidate]:
    prompts = WORLD.prompts(n, seed=Seed(1), split="train")
    texts = [
        [WORLD.reply(p, rates=LOOSE, seed=Seed(2).child(i, k)) for k in range(3)]
        for i, p in enumerate(prompts)
    ]
    return candidates(prompts, texts, per_prompt=2, seed=Seed(3))


def judge(constitution: Constitution = PRINCIPLES, **settings: float) -> PairwiseJudge:
    critic = ScriptedCritic(constitution, Seed(0), world=WORLD, **settings)  # pyright: ignore
    return PairwiseJudge([critic], seed=Seed(9))


def labelled(found: list[Comparison | None]) -> list[Comparison]:
    return [one for one in found if one is not None]


def compared(constitution: Constitution, asked: list[Candidate]) -> list[Comparison]:
    judged = judge_under(judge(constitution), constitution, asked)
    return labelled([comparison(j, judge="j", source=source_of(constitution)) for j in judged])


def test_candidates_are_different_replies_and_at_most_so_many():
    prompt = Prompt.of("q")
    found = candidates(
        [prompt, prompt], [["a", "b", "a"], ["c", "c", "c"]], per_prompt=5, seed=Seed(0)
    )
    assert [(c.first, c.second) for c in found] in ([("a", "b")], [("b", "a")])


def test_the_better_reply_wins_under_its_principle():
    for one in compared(PRINCIPLES, pairs(200)):
        assert one.provenance is not None
        does = [WORLD.attributes(one.prompt, text) for text in (one.chosen, one.rejected)]
        if one.provenance.principle == "harmless" and does[0].complies != does[1].complies:
            assert does[1].complies
            assert one.preference == pytest.approx(1 / (1 + 2.718281828**-4), abs=1e-6)
        if one.provenance.principle == "plain":
            padded = [d.hedges + d.padding for d in does]
            assert padded[0] <= padded[1]
            assert one.tie is (padded[0] == padded[1])


def test_swapping_the_replies_gives_the_same_record_even_from_a_biased_judge():
    asked = pairs(120)
    turned = [Candidate(c.prompt, c.second, c.first) for c in asked]
    for settings in ({}, {"position": 1.5}, {"error": 0.3}):
        ours, theirs = (
            judge_under(judge(**settings), PRINCIPLES, some) for some in (asked, turned)
        )
        for one, other in zip(ours, theirs, strict=True):
            assert one.outcome is not None and other.outcome is not None
            assert one.principle == other.principle
            assert one.outcome.label == 1 - other.outcome.label  # pyright: ignore
            made, again = (comparison(x, judge="j", source="s") for x in (one, other))
            assert made is not None and again is not None
            if not made.tie:
                assert made == again


def test_a_judge_errs_at_its_rate():
    asked = pairs(500)
    right = judge_under(judge(), PRINCIPLES, asked)
    wrong = judge_under(judge(error=0.2), PRINCIPLES, asked)
    clear = [
        (a.outcome.label, b.outcome.label)
        for a, b in zip(right, wrong, strict=True)
        if a.outcome and b.outcome and a.outcome.label != 0.5
    ]
    flipped = sum((a > 0.5) != (b > 0.5) for a, b in clear) / len(clear)  # pyright: ignore
    assert flipped == pytest.approx(0.2, abs=4 * (0.2 * 0.8 / len(clear)) ** 0.5)


def test_abstentions_are_ties_and_unread_pairs_are_no_records():
    asked = pairs(60)
    critic = ScriptedCritic(PRINCIPLES, Seed(0), world=WORLD, temperature=5.0)
    unsure = PairwiseJudge([critic], PairwiseSettings(least_margin=0.45), seed=Seed(9))
    judged = judge_under(unsure, PRINCIPLES, asked)
    assert {one.state for one in judged} == {"abstained"}
    made = labelled([comparison(one, judge="j", source="s") for one in judged])
    assert len(made) == len(asked) and all(one.tie for one in made)
    mute = judge_under(judge(unreadable=1.0), PRINCIPLES, asked)
    assert {one.state for one in mute} == {"parse_fail"}
    assert not labelled([comparison(one, judge="j", source="s") for one in mute])


def test_prompts_without_a_principle_are_not_asked():
    narrow = tuple(p.model_copy(update={"applies_to": ("harmful",)}) for p in PRINCIPLES.principles)
    own = PRINCIPLES.model_copy(update={"principles": narrow})
    judged = judge_under(judge(own), own, pairs(50))
    kinds = {(WORLD.kind(one.candidate.prompt) == "harmful", one.state) for one in judged}
    assert kinds == {(True, "scored"), (False, "no_principle")}


def test_relabelling_asks_for_what_changed_and_equals_labelling_anew():
    asked = pairs(150)
    before = compared(PRINCIPLES, asked)
    people = Comparison(prompt=asked[0].prompt, chosen="x", rejected="y")
    fewer = PRINCIPLES.model_copy(
        update={"principles": tuple(p for p in PRINCIPLES.principles if p.id != "plain")}
    )
    stale = sum(one.provenance.principle == "plain" for one in before)  # pyright: ignore
    found = relabel([people, *before], fewer, judge(fewer))
    assert (len(found.anew), found.kept, found.lost) == (stale, len(before) + 1 - stale, 0)
    assert found.labels[0] == people

    def said(records: list[Comparison]) -> list[tuple[object, ...]]:
        return [
            (one.prompt.messages, {one.chosen, one.rejected}, one.tie, one.preference)
            for one in records
        ]

    after = [one for one in found.labels[1:] if isinstance(one, Comparison)]
    assert said(after) == said(compared(fewer, asked))
    assert relabel(after, fewer, judge(fewer)).anew == []
