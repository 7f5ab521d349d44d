import gzip
import json

import numpy as np
import pytest

from fairlead.core.errors import ConfigError, DataError
from fairlead.feedback.tables import read_table, table_of

ROWS = [
    {"q": "i1", "who": "ann", "said": "a", "right": "a"},
    {"q": "i1", "who": "bob", "said": "b", "right": "a"},
    {"q": "i2", "who": "ann", "said": "b", "right": ""},
    {"q": "i2", "who": "bob", "said": "", "right": ""},
    {"q": "i1", "who": "ann", "said": "b", "right": "a"},
]
COLUMNS = {"item": "q", "annotator": "who", "label": "said", "gold": "right"}


def lines(rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def separated(rows, by) -> str:
    return "".join(
        by.join(map(str, row)) + "\n" for row in [list(rows[0]), *(r.values() for r in rows)]
    )


def write(path, rows):
    if path.name.endswith(".parquet"):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return path
    by = {".csv": ",", ".tsv": "\t"}.get(path.suffixes[0])
    content = (separated(rows, by) if by else lines(rows)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "t.tsv", "t.jsonl", "t.jsonl.gz", "t.parquet"]
)
def test_all_kinds_of_files_hold_the_same(tmp_path, name):
    table = read_table(write(tmp_path / name, ROWS), **COLUMNS)
    assert table.items.names == ("i1", "i2") and table.people.names == ("ann", "bob")
    assert table.labels.codes.tolist() == [0, 1, 1, 1] and table.labels.names == ("a", "b")
    assert table.repeated.tolist() == [False, False, False, True]
    assert table.accepted.tolist() == [[True, False], [False, False]]
    assert table.counts().tolist() == [[1, 1], [0, 1]]
    assert table.left_out == {"without label": 1}


def test_malformed_rows_are_counted(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text(lines(ROWS[:3]) + "{broken\n")
    assert read_table(file, **COLUMNS).left_out == {"malformed": 1}
    file = tmp_path / "t.csv"
    file.write_text("q,who,said,right\ni1,ann,a,a\ni1,bob,b,a,more\ni2\n")
    assert read_table(file, **COLUMNS).left_out == {"malformed": 2}


def test_a_missing_column_is_named(tmp_path):
    file = write(tmp_path / "t.csv", ROWS)
    with pytest.raises(DataError, match="no such column") as caught:
        read_table(file, item="q", annotator="who", label="vote")
    assert caught.value.got == "vote" and "said" in caught.value.expected


def test_absent_file(tmp_path):
    with pytest.raises(DataError, match="file not found"):
        read_table(tmp_path / "none.csv", **COLUMNS)


def test_numbers_are_one_label_however_they_are_written():
    table = table_of(item="abcd", annotator="wxyz", label=[2, 2.0, "2", "10"])
    assert table.labels.names == ("2", "10")
    assert table.values.tolist() == [2.0, 10.0]
    assert table_of(item="ab", annotator="xy", label=["1", "x"]).values is None


def test_labels_in_a_given_order():
    given = {"item": "abc", "annotator": "xyz", "label": ["good", "bad", "good"]}
    assert table_of(**given, order=["bad", "fair", "good"]).labels.codes.tolist() == [2, 0, 2]
    with pytest.raises(ConfigError, match="order lacks"):
        table_of(**given, order=["bad", "fair"])


def test_gold_may_accept_several_labels():
    table = table_of(item="aab", annotator="xyx", label="pqr", gold=[["p", "q"], ["q", "p"], None])
    assert table.accepted.tolist() == [[True, True, False], [False, False, False]]


def test_contradictions_are_refused():
    with pytest.raises(DataError, match="two different golds"):
        table_of(item="aa", annotator="xy", label="pq", gold=["p", "q"])
    with pytest.raises(DataError, match="an annotator is in two groups"):
        table_of(item="ab", annotator="xx", label="pq", group=["old", "young"])
    with pytest.raises(DataError, match="columns differ in length"):
        table_of(item="ab", annotator="xy", label="pq", seconds=[1.0])
    with pytest.raises(DataError, match="no usable row"):
        table_of(item=["a"], annotator=[None], label=["p"])


def test_the_first_answer_is_the_earliest_one():
    columns = {"item": "aa", "annotator": "xx", "label": "pq"}
    assert table_of(**columns, when=[5.0, 1.0]).repeated.tolist() == [True, False]
    assert table_of(**columns).first_answers().labels.codes.tolist() == [0]


def test_rows_keep_the_numbers_of_names():
    table = table_of(item="abc", annotator="xyz", label="pqp", seconds=[1, 2, 3])
    part = table.rows(np.array([False, True, True]))
    assert part.items.names == table.items.names and part.items.codes.tolist() == [1, 2]
    assert part.seconds.tolist() == [2.0, 3.0]
