import json

from simulated_crowds import Crowd

from fairlead.core.seeds import Seed
from fairlead.feedback.quality import measure_quality
from fairlead.feedback.tables import table_of


def test_everything_that_is_known():
    crowd = Crowd(Seed(0), honest=8, items=200, planted=("position",))
    found = measure_quality(crowd.table(), seed=Seed(0))
    assert found.outliers.first_reasons() == crowd.planted_names()
    most = max(found.position.people, key=lambda p: p.share.value)
    assert {most.person} == set(crowd.planted_names()) and most.adjusted < 1e-6
    assert found.agreement["percent"].value > 0.5
    assert (found.length, found.groups, found.agreement.gold) == (None, None, None)
    assert 0 < found.ties.value < 0.1
    assert "NaN" not in json.dumps(found.model_dump(mode="json"))


def test_the_same_seed_gives_the_same_report():
    table = Crowd(Seed(1), honest=6, items=60, per_person=40).table()
    assert measure_quality(table, seed=Seed(3)) == measure_quality(table, seed=Seed(3))


def test_groups_are_compared_where_there_are_two():
    columns = {"item": "aabbcc", "annotator": "xyxyxy", "label": "pqpppq"}
    assert measure_quality(table_of(**columns, group="111111"), seed=Seed(0)).groups is None
    found = measure_quality(table_of(**columns, group="121212"), seed=Seed(0)).groups
    assert [g.name for g in found.groups] == ["1", "2"] and found.distance == 2 / 3
