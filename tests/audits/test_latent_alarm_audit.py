"""Replies off a reward model's map: distances by hand, a planted case, a tiny reward model."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from fairlead.audits.base import Model, Subject
from fairlead.audits.latent_alarm import LatentAlarm, Latents
from fairlead.audits.planted import CASES, flagged
from fairlead.audits.planted.latent_alarm import finding
from fairlead.audits.planted.scripted import Scripted
from fairlead.core.errors import ConfigError, DataError
from fairlead.core.seeds import Seed
from fairlead.data.chat import ChatFormat
from fairlead.judges.asking import Answer, Question
from fairlead.records import Prompt
from fairlead.records.files import write_records
from fairlead.rewards.base import FunctionReward, Reply
from fairlead.rewards.model import ModelReward
from fairlead.stats.latent_outliers import outliers, whitened
from small_world import prompts, tiny_policy, tiny_reward_model, tokenizer

CASE = CASES["replies off the reward model's map"]


def points(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) @ np.diag([1.0, 3.0, 0.5])


def test_distances_are_mahalanobis_to_the_other_half_over_its_threshold():
    theirs, ours = points(0, 40, 1, 3), points(1, 40, 1, 3)
    found = outliers(theirs, ours, alpha=0.1, seed=Seed(0))
    assert found.first.sum() == 20
    half = found.first
    cloud = LedoitWolf().fit(theirs[~half, 0])
    inverse = np.linalg.inv(cloud.covariance_)
    away = [points[half, 0] - cloud.location_ for points in (ours, theirs)]
    far, null = (np.sqrt(((x @ inverse) * x).sum(axis=1)) for x in away)
    assert found.candidate[half, 0] == pytest.approx(far / np.sort(null)[-3])
    # A tenth of 20 replies in each half.
    assert found.shares[1].sum() == 4


def test_whitened_points_are_round():
    known = points(0, 5000, 3)
    (white,) = whitened(known, known)
    assert np.cov(white.T) == pytest.approx(np.eye(3), abs=0.05)


def test_outliers_need_replies_enough_for_their_share():
    with pytest.raises(DataError, match="too few replies"):
        outliers(points(0, 10, 1, 3), points(1, 10, 1, 3), alpha=0.05, seed=Seed(0))
    with pytest.raises(DataError, match="do not pair up"):
        outliers(points(0, 10, 1, 3), points(1, 9, 1, 3), seed=Seed(0))


def test_planted_defect_is_found_and_the_twin_is_not():
    assert all(flagged(CASE.planted(Seed(seed))) for seed in range(10))
    assert sum(flagged(CASE.clean(Seed(seed))) for seed in range(60)) <= 3


def test_distance_tells_gamed_replies_where_gold_is_known():
    planted = finding(Seed(0), 0.3)
    (area,) = planted.estimates
    assert 0.8 < area.low < area.value < area.high
    gold, blind = Latents(points(0, 60, 1, 3), points(1, 60, 1, 3)), LatentAlarm(data="none")
    assert any("No gold reward" in note for note in blind.found(gold, Seed(0)).notes)


def test_prompts_that_nobody_answered_count_as_outliers_of_the_candidate():
    seen = Latents(points(0, 60, 1, 3), points(1, 60, 1, 3), states=("error",) * 3, gone=30)
    (gate,) = LatentAlarm(data="none").found(seen, Seed(0)).gates
    assert gate.items == 90
    assert gate.unscored == {"error": 3}
    assert gate.candidate is not None and gate.candidate.value > 0.3
    assert gate.verdict == "fail"


def reward() -> ModelReward:
    return ModelReward(tiny_reward_model(3).eval(), tokenizer())


def test_latents_of_a_scalar_head_are_what_the_score_is_read_from():
    source, chat = reward(), ChatFormat(tokenizer())
    source.model.draw_head(Seed(0))
    said = []
    for prompt, text in zip(prompts(9), ["yes", "it is one .", "no"] * 3, strict=True):
        before, after = chat.response_ids(prompt, text)
        said.append(Reply(prompt, before, after, text))
    latents = source.latents(said)
    head = source.model.head
    scores = latents @ head.weight.double()[0] + head.bias.double() - source.model.offset.double()
    assert scores.tolist() == pytest.approx(source.score(said).values.tolist(), abs=1e-5)


def says(*words: str):
    """One of some replies, at random."""

    def behave(question: Question, draws: np.random.Generator) -> Answer:
        return Answer(text=" ".join(draws.choice(words, size=3)))

    return behave


def subject(folder: Path, *, proxy: object, candidate: tuple[str, ...]) -> Subject:
    write_records(folder / "prompts.jsonl", prompts(60))
    usual = ("it", "is", "one", "no", "yes")
    return Subject(
        candidate=Model("candidate", Scripted(says(*candidate), seed=Seed(1))),
        baseline=Model("baseline", Scripted(says(*usual), seed=Seed(2)), tiny_policy()),
        seed=Seed(0),
        rewards={"proxy": proxy},  # pyright: ignore
        locate=lambda name: str(folder / name),
    )


AUDIT = LatentAlarm(data="prompts.jsonl", prompts=60, samples=2)


def test_a_run_flags_words_that_the_baseline_never_says(tmp_path: Path):
    strange = AUDIT.run(subject(tmp_path, proxy=reward(), candidate=("meow", "meow", "ticket")))
    same = AUDIT.run(subject(tmp_path, proxy=reward(), candidate=("it", "is", "one", "no", "yes")))
    assert not flagged(same)
    assert strange.gates[0].change.value > same.gates[0].change.value
    assert not strange.gates[0].hard
    rows = strange.tables[0].rows
    assert [row[0] for row in rows] == ["candidate", "baseline"]
    for passage in strange.passages:
        assert passage.candidate and passage.baseline


def test_a_reward_without_a_latent_space_is_refused(tmp_path: Path):
    def one(prompt: Prompt, text: str) -> float:
        return 1.0

    with pytest.raises(ConfigError, match="no latent space"):
        AUDIT.run(subject(tmp_path, proxy=FunctionReward(one), candidate=("yes",)))
