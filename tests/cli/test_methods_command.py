from fairlead.pipeline.methods import Family, methods
from tiny_runs import fairlead, json_of


def test_json_is_a_list_of_kind_title_source_and_needs():
    found = json_of("methods")
    assert [row["kind"] for row in found] == [method.kind for method in methods()]
    assert {tuple(row) for row in found} == {("kind", "title", "source", "needs")}
    (dpo,) = [row for row in found if row["kind"] == "dpo"]
    assert dpo["title"] == "Direct Preference Optimization"
    assert dpo["needs"] == ["pairs", "reference"]


def test_tables_show_every_kind_in_its_family():
    result = fairlead("methods")
    assert result.exit_code == 0
    rows = [line.split("│")[1].strip() for line in result.stdout.splitlines() if "│" in line]
    assert [kind for kind in rows if kind] == [method.kind for method in methods()]
    assert result.stdout.startswith(Family.IMITATION)
