"""Chains of critique and revision: what the critic reads, what is kept, what is left out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fairlead.constitution.critique import RevisionRules, imitable, revise
from fairlead.constitution.principles import Constitution
from fairlead.judges.asking import Answer, Question
from fairlead.records import Message, Prompt

ONE = Constitution.model_validate(
    {
        "name": "one",
        "version": "1",
        "principles": [
            {
                "id": "kind",
                "text": "be kind",
                "critique_request": "criticise",
                "revision_request": "revise",
                "comparison_question": "which",
            }
        ],
    }
)
PROMPT = Prompt(
    messages=(
        Message(role="system", content="sys"),
        Message(role="user", content="hello"),
    )
)


@dataclass
class Writer:
    """Answers from a list, and remembers what it was asked."""

    answers: list[Answer]
    name: str = "writer"
    asked: list[list[tuple[str, str]]] = field(default_factory=list)

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        for question in questions:
            self.asked.append([(m.role, m.content) for m in question.prompt.messages])
        return [self.answers.pop(0) for _ in questions]


def said(*texts: str) -> list[Answer]:
    return [Answer(text=text) for text in texts]


def test_a_critic_sees_the_latest_reply_and_no_earlier_critique():
    writer = Writer(said("bad", "better", "still bad", "best"))
    (chain,) = revise(writer, ONE, [PROMPT], ["first"], RevisionRules(rounds=2))
    start = [("system", "sys"), ("user", "hello")]
    assert writer.asked == [
        [*start, ("assistant", "first"), ("user", "criticise")],
        [
            *start,
            *(("assistant", "first"), ("user", "criticise")),
            *(("assistant", "bad"), ("user", "revise")),
        ],
        [*start, ("assistant", "better"), ("user", "criticise")],
        [
            *start,
            *(("assistant", "better"), ("user", "criticise")),
            *(("assistant", "still bad"), ("user", "revise")),
        ],
    ]
    assert (chain.first, chain.after(1), chain.last) == ("first", "better", "best")
    assert [step.round for step in chain.steps] == [1, 2]
    made = chain.steps[0].provenance
    assert made is not None
    assert (made.principle, made.feedback, made.annotator) == ("kind", "ai", "writer")
    assert made.wording == ONE.critique_hashes["kind"]


def test_examples_stand_in_front_of_every_critique():
    shown = {"prompt": "p", "reply": "r", "critique": "c", "revision": "v"}
    writer = Writer(said("bad", "better"))
    taught = ONE.model_validate({**ONE.model_dump(), "examples": [shown]})
    revise(writer, taught, [PROMPT], ["first"], RevisionRules(rounds=1))
    example = [
        *(("user", "p"), ("assistant", "r"), ("user", "criticise"), ("assistant", "c")),
        *(("user", "revise"), ("assistant", "v")),
    ]
    assert all(asked[:6] == example for asked in writer.asked)


def test_every_fault_has_its_name_and_the_last_good_reply_goes_on():
    writer = Writer(
        [
            *said("c1", "good reply"),
            *said("c2", "good  reply"),
            *said("c3", " "),
            *said("c4", "x" * 500),
            Answer(state="judge_refused"),
            *said("c6"),
            Answer(state="truncated", text="half a rep"),
            *said("c7", "final reply"),
        ]
    )
    (chain,) = revise(writer, ONE, [PROMPT], ["bad reply"], RevisionRules(rounds=7))
    assert [step.fault for step in chain.steps] == [
        *(None, "no_change", "empty", "runaway", "judge_refused", "truncated", None)
    ]
    assert [step.response for step in chain.steps] == ["bad reply", *["good reply"] * 6]
    texts = [d.response for d in imitable([chain], "all")]
    assert texts == ["good reply", "final reply"]
    assert [d.response for d in imitable([chain], "last")] == ["final reply"]


def test_a_short_reply_may_grow_by_the_slack():
    rules = RevisionRules(rounds=1, longest_ratio=2, longest_slack=10)
    for length, fault in ((12, None), (13, "runaway")):
        writer = Writer(said("c", "x" * length))
        (chain,) = revise(writer, ONE, [PROMPT], ["ab"], rules)
        assert chain.steps[0].fault == fault
    long = "y" * 100
    for length, fault in ((200, None), (201, "runaway")):
        writer = Writer(said("c", "x" * length))
        (chain,) = revise(writer, ONE, [PROMPT], [long], rules)
        assert chain.steps[0].fault == fault


def test_prompts_without_a_principle_are_kept_and_named():
    narrow = ONE.model_copy(
        update={"principles": (ONE.principles[0].model_copy(update={"applies_to": ("harmful",)}),)}
    )
    other = PROMPT.model_copy(update={"subset": "harmful"})
    writer = Writer(said("c", "better"))
    chains = revise(writer, narrow, [PROMPT, other], ["a", "b"], RevisionRules(rounds=1))
    assert [c.steps[0].fault for c in chains] == ["no_principle", None]
    assert [c.last for c in chains] == ["a", "better"]


def test_equal_revisions_of_a_prompt_are_imitated_once():
    writer = Writer(said("c", "c", "same", "same"))
    chains = revise(writer, ONE, [PROMPT, PROMPT], ["a", "b"], RevisionRules(rounds=1))
    assert [d.response for d in imitable(chains, "all")] == ["same"]
