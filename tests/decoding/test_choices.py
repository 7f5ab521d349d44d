"""Best-of-n, voting, and what all decoders have in common."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from letter_models import PROMPTS, SEED, ids_of, policy, reward, tokens_of, whole_reply
from pydantic import TypeAdapter
from tests.generation.tiny_policies import EOS, letters

from fairlead.core.errors import ConfigError
from fairlead.decoding import DECODERS, AnyDecoder, Spent
from fairlead.decoding.best_of_n import BestOfN
from fairlead.decoding.judging import judged, readers
from fairlead.decoding.majority import Majority
from fairlead.decoding.sampling import PlainSampling
from fairlead.decoding.speaking import Speaker, cut_at_stop, drawing
from fairlead.decoding.voting import Ballot, answer_in, elected
from fairlead.decoding.weighted_vote import WeightedVote
from fairlead.generation.sampling import Sampling
from fairlead.records import Prompt
from fairlead.rewards.base import FunctionReward, Reply
from fairlead.rewards.ensemble import EnsembleReward, MeanOfMembers
from fairlead.rewards.process import ProcessReward
from fairlead.rewards.verifiers.exact_match import ExactChecker
from fairlead.rewards.verifiers.number import NumberChecker
from fairlead.stats.best_of_n import best_of_n_kl_bound, best_of_n_kl_estimate

SHORT = Sampling(max_new_tokens=12)
EXAMPLES: dict[str, dict[str, Any]] = {
    "sampling": {"sampling": SHORT},
    "best_of_n": {"n": 4, "sampling": SHORT},
    "majority": {"n": 4, "sampling": SHORT, "answers": ExactChecker()},
    "weighted_vote": {"n": 4, "sampling": SHORT, "answers": ExactChecker(), "temperature": 1.0},
    "beam": {"width": 2, "expansions": 2, "sampling": Sampling(max_new_tokens=20)},
    "process_search": {"width": 2, "expansions": 2, "step_tokens": 6, "sampling": SHORT},
    "blockwise": {"blocks": 3, "block": 5, "sampling": SHORT},
    "args": {"k": 3, "temperature": 0.7, "max_new_tokens": 12},
    "controlled": {"k": 3, "max_new_tokens": 12},
    "cards": {"goal": 1.0, "entropy": 2.4, "sampling": SHORT},
}


def test_there_is_an_example_of_every_decoder() -> None:
    assert set(EXAMPLES) == set(DECODERS)


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_a_reply_depends_on_its_place_and_seed_alone(kind: str, family: str) -> None:
    decoder = DECODERS[kind](**EXAMPLES[kind]).build(policy(family), reward(family))
    found = decoder.decode(PROMPTS, seed=SEED)
    assert [one.reply.prompt for one in found] == PROMPTS
    fewer = decoder.decode(PROMPTS[:2], seed=SEED)
    assert tokens_of(fewer) == tokens_of(found[:2])
    assert [one.spent for one in fewer] == [one.spent for one in found[:2]]
    other = [PROMPTS[4], *PROMPTS[1:3]]
    assert tokens_of(decoder.decode(other, seed=SEED))[1:] == tokens_of(found)[1:3]
    assert tokens_of(decoder.decode(PROMPTS, seed=SEED.child("other"))) != tokens_of(found)
    assert decoder.decode([], seed=SEED) == []


@pytest.mark.parametrize("kind", EXAMPLES)
def test_settings_survive_json(kind: str) -> None:
    settings = DECODERS[kind](**EXAMPLES[kind])
    adapter: TypeAdapter[Any] = TypeAdapter(AnyDecoder)
    assert adapter.validate_json(adapter.dump_json(settings)) == settings
    with pytest.raises(ValueError, match="Extra inputs"):
        DECODERS[kind](**EXAMPLES[kind], unknown=1)


@pytest.mark.parametrize("kind", sorted(set(EXAMPLES) - {"sampling", "majority"}))
def test_a_decoder_by_reward_needs_one(kind: str) -> None:
    with pytest.raises(ConfigError, match="there is none"):
        DECODERS[kind](**EXAMPLES[kind]).build(policy())


def test_the_best_of_n_has_the_highest_reward_and_is_paid_for() -> None:
    found = BestOfN(n=4, sampling=SHORT).build(policy(), reward()).decode(PROMPTS, seed=SEED)
    spoken = Speaker(policy()).sample(PROMPTS, SHORT, n=4, seed=SEED)
    plain = PlainSampling(sampling=SHORT).build(policy()).decode(PROMPTS, seed=SEED)
    assert [one.reply for one in plain] == [own.replies[0] for own in spoken]
    for prompt, one, own, first in zip(PROMPTS, found, spoken, plain, strict=True):
        scores = reward().score(own.replies).values
        best = int(scores.argmax())
        assert one.reply == own.replies[best]
        assert one.score == pytest.approx(float(scores[best]), abs=1e-4)
        before, lengths = len(ids_of(prompt)), [len(r.response_ids) for r in own.replies]
        assert one.spent.policy_tokens == before + sum(lengths) - 4
        ends = [r.response_ids[-1] != EOS for r in own.replies]
        assert one.spent.reward_tokens == 4 * before + sum(lengths) + sum(ends)
        assert one.spent.reward_calls == 4
        assert one.spent.tokens == one.spent.policy_tokens + one.spent.reward_tokens
        assert first.spent == Spent(policy_tokens=before + lengths[0] - 1)
        assert one.counts == pytest.approx(
            {
                "kl_bound": best_of_n_kl_bound(4),
                "kl": best_of_n_kl_estimate(own.logps[best], 4),
            }
        )


def test_drawing_reads_the_prompt_once() -> None:
    assert drawing(10, [1, 5, 3]) == Spent(policy_tokens=10 + 0 + 4 + 2)


def test_all_models_of_a_reward_are_paid_for() -> None:
    reply = whole_reply(PROMPTS[0], (4, 5, EOS))
    cut = whole_reply(PROMPTS[0], (4, 5))
    once = len(ids_of(PROMPTS[0])) + 3
    together = EnsembleReward((reward(), reward("gpt2")), MeanOfMembers())
    costs = [cost for _, cost in judged(together, [reply, cut])]
    assert costs == [Spent(0, 2 * once, 1), Spent(0, 2 * once, 1)]
    free = FunctionReward(lambda prompt, text: 1.0)
    assert judged(free, [reply]) == [(1.0, Spent(0, 0, 1))]
    assert len(list(readers(together))) == 2


def test_a_reward_that_pays_at_steps_has_no_score_for_a_reply() -> None:
    from tests.generation.tiny_policies import llama

    from fairlead.models.heads import Steps
    from fairlead.models.reward_model import RewardModel

    model = RewardModel(llama().base_model, letters(), head=Steps()).eval()
    with pytest.raises(ConfigError, match="pays at the steps"):
        judged(ProcessReward(model, letters(), at_steps=True), [whole_reply(PROMPTS[0], (4, EOS))])


def said(text: str, finish: Any = "eos") -> Reply:
    return Reply(Prompt.of("how many ?"), (1,), (2,), text, finish=finish)


def test_answers_are_read_without_knowing_the_right_one() -> None:
    reader = NumberChecker(marker="answer:", need_marker=True)
    texts = ["answer: 12", "so answer: 12.0", "answer: 7", "12", "answer: none"]
    assert [answer_in(reader, said(text)) for text in texts] == ["12", "12", "7", "", ""]
    assert answer_in(reader, said("answer: 12", "length")) == ""


def test_votes_are_counted_by_hand() -> None:
    def won(*given: tuple[str, float]) -> tuple[str, float, float]:
        ballots = [Ballot(said(f"{i}{name}"), name, w) for i, (name, w) in enumerate(given)]
        found = elected(ballots, Spent())
        return found.reply.text, found.counts["voters"], found.counts["share"]

    assert won(("a", 1.0), ("b", 1.0), ("b", 1.0), ("", 1.0)) == ("1b", 3, pytest.approx(2 / 3))
    assert won(("a", 1.0), ("b", 1.0)) == ("0a", 2, 0.5)
    assert won(("a", 0.9), ("b", 0.5), ("b", 0.6)) == ("2b", 3, pytest.approx(0.55))
    assert won(("", 0.1), ("", 0.3)) == ("1", 0, 0.0)


def test_the_majority_wins() -> None:
    short = Sampling(max_new_tokens=12, temperature=0.6)
    settings = Majority(n=40, answers=ExactChecker(), sampling=short)
    found = settings.build(policy()).decode(PROMPTS, seed=SEED)
    spoken = Speaker(policy()).sample(PROMPTS, short, n=40, seed=SEED)
    voters = 0.0
    for one, own in zip(found, spoken, strict=True):
        votes = Counter(r.text for r in own.replies if r.finish == "eos" and r.text)
        assert one.counts["voters"] == votes.total()
        voters += votes.total()
        if votes:
            assert votes[one.reply.text] == max(votes.values())
        assert one.score is None and one.spent == own.spent
    assert voters > 10


def test_weights_of_votes() -> None:
    odds = WeightedVote(temperature=2.0)
    assert odds._weights([1.0, 3.0]) == pytest.approx([np.exp(-1.0), 1.0])
    assert WeightedVote()._weights([0.25, 0.5]) == [0.25, 0.5]
    with pytest.raises(ConfigError, match="less than nothing"):
        WeightedVote()._weights([0.25, -0.5])


def test_the_cut_at_a_stop_text() -> None:
    begun, more = (4, 5), (6, 7, 8)
    text = letters().decode([5, 6])
    assert cut_at_stop(begun, more, (text,), letters()) == ((6,), True)
    assert cut_at_stop(begun, more, ("zz",), letters()) == (more, False)
    assert cut_at_stop(begun, more, (), letters()) == (more, False)
