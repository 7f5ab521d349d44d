"""Many people through HTTP, while the server is killed: exact counts."""

import pytest
from benchmarks.feedback_load import Load, measure


def test_a_few_people_and_a_kill(db_url):
    load = Load(people=4, items=20, overlap=2, think_s=0.0, kills=1, resend_every=5)
    found = measure(db_url, load)
    assert (found["answers"], found["lost"], found["double"]) == (40, 0, 0)
    assert found["items_done"] == 20 and found["audit_whole"]
    assert set(found["resent"]) == {"same"}


@pytest.mark.slow
def test_fifty_people_and_three_kills(db_url):
    found = measure(db_url, Load(think_s=0.5))
    assert (found["answers"], found["lost"], found["double"]) == (15_000, 0, 0)
    assert found["items_done"] == 5000 and found["audit_whole"]
