"""The scripted judge and what a reward makes of it."""

import numpy as np
import torch

from fairlead.core.seeds import Seed
from fairlead.records import Prompt
from fairlead.rewards.base import Reply
from fairlead.rewards.judge import JudgeReward
from fairlead.testbeds.judges import ScriptedJudge


class Lengths:
    def gold(self, prompt: Prompt, response: str) -> float:
        return float(len(response))


def asked(count: int) -> list[tuple[Prompt, str]]:
    return [(Prompt.of(f"question {i % 20}"), "x" * (i % 7)) for i in range(count)]


def test_noise_has_the_size_that_was_asked_for_and_repeats_itself() -> None:
    judge = ScriptedJudge(Lengths(), noise=0.5, unreadable=0.0, seed=Seed(1))
    texts = ["x" * i for i in range(2000)]
    said = judge.judge(Prompt.of("q"), texts)
    errors = np.array([s - len(t) for s, t in zip(said, texts, strict=True) if s is not None])
    assert abs(errors.mean()) < 0.05 and abs(errors.std() - 0.5) < 0.03
    assert judge.judge(Prompt.of("q"), texts[::-1]) == said[::-1]


def test_unreadable_verdicts_are_as_frequent_as_asked_for_and_never_score_zero() -> None:
    judge = ScriptedJudge(Lengths(), noise=0.0, unreadable=0.25, seed=Seed(1))
    replies = [Reply(Prompt.of(f"q{i // 4}"), (1,), (2,), "x" * (10 + i % 4)) for i in range(400)]
    scored = JudgeReward(judge).score(replies)
    share = float(scored.parts["unparsed"].mean())
    assert 0.18 < share < 0.32
    assert float(scored.values.min()) >= 10.0
    read = scored.parts["unparsed"] == 0
    worth = torch.tensor([float(len(r.text)) for r in replies])
    assert torch.equal(scored.values[read], worth[read])
