from math import isnan

import pytest

from fairlead.core.errors import DataError
from fairlead.data.chat import Item
from fairlead.data.judgements import (
    Judged,
    judged,
    judged_batch,
    rated_rankings,
    safety_comparisons,
)
from fairlead.records import Comparison, Prompt, Ranking, Rating

WHY = Prompt.of("why")


def compared(**more: object) -> Comparison:
    return Comparison.model_validate({"prompt": WHY, "chosen": "a", "rejected": "b", **more})


def test_margins_flags_and_ratings_of_records() -> None:
    assert judged(compared(strength=2.0), margin_scale=0.5).margin == 1.0
    assert judged(compared(strength=2.0)).margin == 0.0
    assert judged(compared(preference=0.75)).label == 0.75
    assert judged(compared()).label == 1.0
    assert judged(compared(chosen_safe=False)).costs == (1.0, 0.0)
    assert judged(compared()).costs == ()
    ranking = Ranking(prompt=WHY, responses=("a", "b"), ranks=(0, 1), scores=({"x": 3.0}, {}))
    first, second = judged(ranking, dimensions=("x",)).ratings
    assert first == (3.0,) and isnan(second[0])


def test_a_batch_keeps_what_was_said_beside_its_replies() -> None:
    items = [Item((1,), ((2,), (3,)), (0, 1), 1), Item((1,), ((2,), (3,), (4,)), (1, 0, 2), 0)]
    known = [Judged(margin=0.5, label=0.75), Judged(costs=(-1.0, 1.0), ratings=((4.0,), (2.0,)))]
    batch = judged_batch(items, known)
    assert batch.strength is not None and batch.strength.tolist() == [0.0, 0.5, 0.5, 0.5]
    assert batch.label is not None and batch.label.tolist() == [1.0, 0.75, 0.75, 0.75]
    assert batch.costs is not None and batch.costs.tolist() == [-1.0, 1.0, 0.0, 0.0, 0.0]
    assert batch.ratings is not None
    assert batch.ratings[:2, 0].tolist() == [4.0, 2.0] and bool(batch.ratings[2:].isnan().all())
    plain = judged_batch(items, [Judged(), Judged()])
    assert (plain.strength, plain.label, plain.costs, plain.ratings) == (None,) * 4


def test_comparisons_are_turned_to_the_safer_reply() -> None:
    asked = [
        compared(chosen_safe=False, rejected_safe=True),
        compared(chosen_safe=True, rejected_safe=False, safer="chosen"),
        compared(chosen_safe=False, rejected_safe=False, safer="rejected"),
        compared(chosen_safe=True, rejected_safe=True),
    ]
    turned, silent = safety_comparisons(asked)
    assert [c.chosen for c in turned] == ["b", "a", "b"] and silent == 1
    assert (turned[0].chosen_safe, turned[0].rejected_safe) == (True, False)
    with pytest.raises(DataError, match="safer"):
        safety_comparisons([compared()])


def test_ratings_of_one_prompt_become_a_ranking() -> None:
    rated = [
        Rating(prompt=WHY, response=text, value=value, scores={"x": value})
        for text, value in (("a", 2.0), ("b", 4.0), ("c", 2.0))
    ]
    alone = Rating(prompt=Prompt.of("else"), response="d", value=1.0)
    kept = compared()
    first, ranking = rated_rankings([*rated, alone, kept])
    assert first is kept and isinstance(ranking, Ranking)
    assert (ranking.responses, ranking.ranks) == (("a", "b", "c"), (1, 0, 1))
    assert ranking.scores[1] == {"x": 4.0}
