"""A judge in this process, against plain transformers code."""

import copy
import math

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.judges.asking import Answer, Question
from fairlead.judges.local import LocalRespondent
from fairlead.models.policy import Policy
from fairlead.records import Message, Prompt

SIGNS = ["<eos>", *(chr(c) for c in range(32, 127)), "\n"]
CONTEXT = 192
TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}[end]{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def policy(template: str | None = None) -> Policy:
    """One token per character."""
    backend = Tokenizer(models.BPE({s: i for i, s in enumerate(SIGNS)}, []))
    backend.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<eos>", chat_template=template
    )
    config = LlamaConfig(
        vocab_size=len(SIGNS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        initializer_range=0.25,
        eos_token_id=0,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    return Policy(LlamaForCausalLM(config), tokenizer)


PLAIN = policy()
WHY = Prompt.of("why")


def respondent(own: Policy = PLAIN, **options) -> LocalRespondent:
    return LocalRespondent(own, **{"microbatch_tokens": 256, "seed": Seed(7), **options})


def plain_model(own: Policy) -> LlamaForCausalLM:
    twin = copy.deepcopy(own.model).eval()
    twin.set_attn_implementation("sdpa")
    return twin


def logp(own: Policy, before: str, words: str) -> float:
    """Log-probability of words behind a text, in nats, by the model itself."""
    ids = [SIGNS.index(c) for c in before + words]
    with torch.no_grad():
        logps = plain_model(own)(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(logps[i - 1, ids[i]]) for i in range(len(before), len(ids)))


def begun(text: str) -> Prompt:
    turns = (Message(role="user", content="why"), Message(role="assistant", content=text))
    return Prompt(messages=turns)


def choice(prompt: Prompt, *options: str) -> Question:
    return Question(prompt=prompt, options=options)


@pytest.mark.parametrize(
    ("own", "prompt", "before", "space"),
    [
        (PLAIN, WHY, "Human: why\n\nAssistant:", " "),
        (PLAIN, begun("It is ("), "Human: why\n\nAssistant: It is (", ""),
        (policy(TEMPLATE), WHY, "[user]why[assistant]", ""),
        (policy(TEMPLATE), begun("It is ("), "[user]why[assistant]It is (", ""),
    ],
    ids=["plain", "plain, begun", "template", "template, begun"],
)
def test_options_have_the_probability_of_all_their_tokens(own, prompt, before, space):
    options = ("A", "neither", "z!")
    (answer,) = respondent(own).ask([choice(prompt, *options)])
    sums = [logp(own, before, space + option) for option in options]
    whole = sum(map(math.exp, sums))
    assert answer.probabilities == pytest.approx([math.exp(s) / whole for s in sums], rel=1e-4)
    assert answer.mass == pytest.approx(whole, rel=1e-4)
    assert answer.prompt_tokens == len(before)
    assert answer.completion_tokens == sum(len(space + option) for option in options)
    assert answer.state == "scored" and answer.text == ""


def test_a_long_option_has_no_advantage_by_its_length():
    """A mean per token would prefer it; the sum is what it is worth."""
    short, long = "q", "q" * 12
    with pytest.raises(ConfigError):
        respondent().ask([choice(begun("x"), short, long)])
    (answer,) = respondent().ask([choice(begun("x"), "r", long)])
    assert answer.probabilities[1] < 1e-9


def test_all_next_characters_together_have_all_the_mass():
    signs = [sign for sign in SIGNS if len(sign) == 1 and not sign.isspace()]
    (answer,) = respondent().ask([choice(begun("x"), *signs)])
    before = "Human: why\n\nAssistant: x"
    missing = sum(math.exp(logp(PLAIN, before, sign)) for sign in (" ", "\n"))
    ids = torch.tensor([[SIGNS.index(c) for c in before]])
    with torch.no_grad():
        missing += float(plain_model(PLAIN)(ids).logits[0, -1].softmax(-1)[0])
    assert answer.mass == pytest.approx(1 - missing, abs=1e-5)
    assert sum(answer.probabilities) == pytest.approx(1)


def mixed() -> list[Question]:
    """Questions of all kinds and lengths."""
    asked = [choice(Prompt.of("x" * k), "yes", "no", "so") for k in (3, 60, 1, 25)]
    asked += [choice(begun("y" * k), "A", "B") for k in (1, 40)]
    asked += [Question(prompt=Prompt.of("z" * k), max_tokens=12) for k in (2, 30)]
    asked += [
        Question(prompt=Prompt.of("w" * k), max_tokens=16, temperature=1.0, sample=s)
        for k in (2, 17)
        for s in (0, 1)
    ]
    return asked


def same(one: Answer, other: Answer) -> bool:
    near = pytest.approx(one.probabilities, abs=1e-5) == other.probabilities
    masses = (one.mass, other.mass)
    return (
        near
        and (None in masses or abs(masses[0] - masses[1]) < 1e-5)
        and (one.text, one.state) == (other.text, other.state)
    )


@pytest.mark.parametrize("tokens", [1, 4096])
def test_an_answer_depends_on_its_question_alone(tokens):
    asked = mixed()
    together = respondent(microbatch_tokens=tokens).ask(asked)
    alone = [respondent().ask([question])[0] for question in asked]
    back = respondent().ask(asked[::-1])[::-1]
    twice = respondent(max_rows=1).ask([*asked, *asked])
    assert all(map(same, together, alone)) and all(map(same, together, back))
    assert all(map(same, together * 2, twice))


def test_greedy_texts_are_those_of_transformers():
    prompt = "Human: tell\n\nAssistant:"
    (answer,) = respondent().ask([Question(prompt=Prompt.of("tell"), max_tokens=24)])
    ids = torch.tensor([[SIGNS.index(c) for c in prompt]])
    whole = plain_model(PLAIN).generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, pad_token_id=0
    )[0, len(prompt) :]
    assert answer.text == "".join(SIGNS[i] for i in whole if i).strip()
    assert answer.prompt_tokens == len(prompt)


def test_samples_differ_repeat_and_say_when_they_were_cut_off():
    asked = [
        Question(prompt=WHY, max_tokens=40, temperature=1.0, sample=sample) for sample in range(24)
    ]
    answers = respondent().ask(asked)
    assert len({answer.text for answer in answers}) == 24
    assert answers == respondent().ask(asked)
    assert answers != respondent(seed=Seed(8)).ask(asked)
    for answer in answers:
        cut = answer.state == "truncated"
        assert cut == (answer.completion_tokens == 40) == bool(answer.detail)
    assert {answer.state for answer in answers} == {"scored", "truncated"}


def test_texts_go_on_with_a_turn_that_has_begun():
    (answer,) = respondent().ask([Question(prompt=begun("It is ("), max_tokens=5)])
    best = ""
    for _ in range(5):
        before = "Human: why\n\nAssistant: It is (" + best
        ids = torch.tensor([[SIGNS.index(c) for c in before]])
        with torch.no_grad():
            best += SIGNS[int(plain_model(PLAIN)(ids).logits[0, -1].argmax())]
    assert answer.text == best.strip()


def test_what_does_not_fit_is_an_error_of_its_own():
    long = Prompt.of("x" * CONTEXT)
    nearly = Prompt.of("x" * (CONTEXT - 30))
    words, choices, room, fine = respondent().ask(
        [
            Question(prompt=long),
            choice(long, "A", "B"),
            Question(prompt=nearly, max_tokens=40),
            choice(nearly, "A", "B"),
        ]
    )
    assert [a.state for a in (words, choices, room, fine)] == ["error"] * 3 + ["scored"]
    # Around the prompt are 19 characters.
    assert f"take {CONTEXT - 30 + 19 + 40} tokens" in room.detail
    assert f"room for {CONTEXT}" in room.detail


@pytest.mark.parametrize("options", [("1", "10"), ("A", "A ")])
def test_options_that_begin_alike_to_the_end_of_one_are_refused(options):
    with pytest.raises(ConfigError, match="does not tell the options apart"):
        respondent().ask([choice(WHY, *options)])


def test_nothing_asked_is_nothing_answered():
    assert respondent().ask([]) == []
    assert respondent(name="the model").name == "the model"
