import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from fairlead.core.errors import ConfigError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.data.steps import encode_steps, step_batch
from fairlead.functional.steps import AGGREGATIONS
from fairlead.models.heads import Scalar, Steps
from fairlead.models.reward_model import RewardModel
from fairlead.objectives import Need
from fairlead.records import Prompt
from fairlead.rewards.base import Reply
from fairlead.rewards.process import ProcessReward
from fairlead.testbeds.arithmetic import ArithmeticWorld

WORLD = ArithmeticWorld()
TOKENIZER = WORLD.tokenizer()
CHAT = ChatFormat(TOKENIZER)


def model(seed: int = 0) -> RewardModel:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(TOKENIZER),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    made = RewardModel(LlamaForCausalLM(config).base_model, TOKENIZER, base="x", head=Steps())
    made.draw_head(Seed(seed))
    return made.eval()


def reply(prompt: Prompt, text: str) -> Reply:
    asked, response = CHAT.response_ids(prompt, text)
    return Reply(prompt, asked, response, CHAT.text(response))


def solved(count: int = 6) -> list[Reply]:
    problems = WORLD.problems(count, Seed(0))
    return [reply(p.prompt, p.solution) for p in problems]


def test_steps_are_scored_as_in_training() -> None:
    records = WORLD.step_labels(6, Seed(1), rate=0.0)
    items, _ = encode_steps(records, CHAT, max_length=128)
    own = model()
    with torch.no_grad():
        trained = own(step_batch(items).packed, frozenset({Need.STEPS})).steps
    replies = [reply(r.prompt, "\n".join(r.steps)) for r in records]
    scored = ProcessReward(own, TOKENIZER, microbatch_tokens=60).step_logps(replies)
    expected = torch.nn.functional.logsigmoid(trained)
    torch.testing.assert_close(torch.cat(scored), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_the_score_joins_the_steps(aggregate: str) -> None:
    source = ProcessReward(model(), TOKENIZER, aggregate)  # pyright: ignore
    replies = solved()
    logps = source.step_logps(replies)
    expected = torch.stack([AGGREGATIONS[aggregate](own) for own in logps])
    scored = source.score(replies)
    torch.testing.assert_close(scored.values, expected)
    assert scored.parts["steps"].tolist() == [float(r.text.count("\n") + 1) for r in replies]
    assert scored.token_rewards == ()


def test_steps_can_be_paid_where_they_end() -> None:
    source = ProcessReward(model(), TOKENIZER, at_steps=True)
    replies = solved()
    scored = source.score(replies)
    assert scored.values.count_nonzero() == 0
    for own, logps, paid in zip(
        replies, source.step_logps(replies), scored.token_rewards, strict=True
    ):
        assert len(paid) == len(own.response_ids)
        torch.testing.assert_close(paid[paid > 0], logps.exp())
        ends = [i for i, r in enumerate(paid.tolist()) if r > 0]
        assert ends[-1] == len(paid) - 2  # before the EOS
        newline = TOKENIZER.convert_tokens_to_ids("\n")
        assert [own.response_ids[end + 1] for end in ends[:-1]] == [newline] * (len(ends) - 1)


def test_an_empty_reply_has_nothing_right_in_it() -> None:
    first = solved(1)[0]
    empty = Reply(first.prompt, first.prompt_ids, (), "")
    scored = ProcessReward(model(), TOKENIZER, "product").score([empty, first])
    assert scored.values[0].item() == 0.0 < scored.values[1].item()
    assert scored.parts["steps"][0].item() == 0.0


def test_other_heads_are_refused() -> None:
    trunk = model().model
    with pytest.raises(ConfigError, match="does not give steps"):
        ProcessReward(RewardModel(trunk, TOKENIZER, head=Scalar()), TOKENIZER)
