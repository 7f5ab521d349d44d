"""A table of labels: who said what of which item, and what is known about each answer.

Read from files here; the store makes the same table of its answers. All statistics of quality take
it, so they do not know where labels come from.
"""

import csv
import gzip
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.core.errors import ConfigError, DataError

Codes = NDArray[np.int64]
Floats = NDArray[np.float64]
Columns = dict[str, list[Any]]
"""Plain values by name of the column, one per answer."""

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
"""Files that are read here; JSON Lines, JSON and Parquet are read as any other data."""


@dataclass(frozen=True)
class Column:
    """Values as numbers into a list of names; -1 where there is none."""

    codes: Codes
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def code(self, name: str) -> int:
        """Number of a name.

        Raises:
            DataError: there is no such name.
        """
        if name not in self.names:
            raise DataError(
                "no such value in the column",
                expected="one of " + ", ".join(self.names[:20]),
                got=name,
            )
        return self.names.index(name)


@dataclass(frozen=True)
class LabelTable:
    """One row per answer. Columns that are None are not known."""

    items: Column
    people: Column
    """Pseudonyms of those who answered."""
    labels: Column
    """Answers in terms of the item, not of positions on the screen; names in their order, numbers
    ascending."""
    accepted: NDArray[np.bool_] | None = None
    """[item, label] whether gold accepts the label; no label of an item without gold."""
    left: Codes | None = None
    """[row] the label that was shown on the left (or first); -1 unknown."""
    tie: str | None = None
    """Name of the label that prefers neither."""
    longer: Codes | None = None
    """[row] the label of the longer reply; -1 where there is none."""
    suggestion: Codes | None = None
    """[row] the label that a model suggested; -1 for none."""
    seconds: Floats | None = None
    """[row] time that the answer took; nan unknown."""
    words: Floats | None = None
    """[row] length of what had to be read; nan unknown."""
    when: Floats | None = None
    """[row] moment of the answer, in seconds from any start; nan unknown."""
    groups: Column | None = None
    """[person] group of each person; -1 for none."""
    clusters: Column | None = None
    """[item] what each item belongs to, as a step to its solution; -1 unknown."""
    repeated: NDArray[np.bool_] | None = None
    """[row] whether the person had answered the same item before."""
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    """Rows of the source that are not in the table, counted by reason."""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def values(self) -> Floats | None:
        """[label] as numbers; None where a label is not one."""
        numbers = [_number(name) for name in self.labels.names]
        return None if None in numbers else np.array(numbers, dtype=np.float64)

    @property
    def tie_code(self) -> int:
        """Number of the tie label; -1 where there is none."""
        return self.labels.names.index(self.tie) if self.tie in self.labels.names else -1

    def rows(self, keep: NDArray[np.bool_]) -> "LabelTable":
        """The table with some of its rows; items, people and labels keep their numbers."""

        def kept(column: NDArray[Any] | None) -> Any:
            return None if column is None else column[keep]

        return LabelTable(
            items=Column(self.items.codes[keep], self.items.names),
            people=Column(self.people.codes[keep], self.people.names),
            labels=Column(self.labels.codes[keep], self.labels.names),
            accepted=self.accepted,
            left=kept(self.left),
            tie=self.tie,
            longer=kept(self.longer),
            suggestion=kept(self.suggestion),
            seconds=kept(self.seconds),
            words=kept(self.words),
            when=kept(self.when),
            groups=self.groups,
            clusters=self.clusters,
            repeated=kept(self.repeated),
            left_out=self.left_out,
        )

    def first_answers(self) -> "LabelTable":
        """The table without answers to items that the person had answered before."""
        return self if self.repeated is None else self.rows(~self.repeated)

    def counts(self) -> Floats:
        """[item, label] number of people who gave each label; first answers only."""
        first = self.first_answers()
        table = np.zeros((len(self.items.names), len(self.labels.names)))
        np.add.at(table, (first.items.codes, first.labels.codes), 1)
        return table


def table_of(
    *,
    item: Sequence[Any],
    annotator: Sequence[Any],
    label: Sequence[Any],
    gold: Sequence[Any] | None = None,
    left: Sequence[Any] | None = None,
    longer: Sequence[Any] | None = None,
    suggestion: Sequence[Any] | None = None,
    seconds: Sequence[Any] | None = None,
    words: Sequence[Any] | None = None,
    when: Sequence[Any] | None = None,
    group: Sequence[Any] | None = None,
    cluster: Sequence[Any] | None = None,
    tie: str | None = "tie",
    order: Sequence[str] | None = None,
    left_out: Mapping[str, int] | None = None,
) -> LabelTable:
    """A table from columns of plain values, one entry per answer.

    Rows without item, annotator or label are left out and counted. A second answer of a person to
    an item is kept as a repeat: it measures consistency and has no second vote.

    Args:
        item: key of what was labelled.
        annotator: pseudonym of who did.
        label: the answer.
        gold: right answer of the item, or a list of accepted ones.
        left: which label was shown on the left.
        longer: which label belongs to the longer reply.
        suggestion: which label a model suggested.
        seconds: time the answer took.
        words: length of what had to be read.
        when: moment of the answer, in seconds.
        group: the annotator's group.
        cluster: what the item belongs to, as a step to its solution.
        tie: name of the label that prefers neither.
        order: labels in their order, for ordinal statistics; numbers are ordered by value anyway.
        left_out: rows already left out, by reason.

    Raises:
        DataError: columns differ in length, no row is usable, an item has two golds or
            clusters, an annotator two groups, or a label is missing from `order`.
    """
    columns = {"item": item, "annotator": annotator, "label": label, "gold": gold, "left": left}
    columns |= {"longer": longer, "suggestion": suggestion, "seconds": seconds, "words": words}
    columns |= {"when": when, "group": group, "cluster": cluster}
    known = {name: column for name, column in columns.items() if column is not None}
    _require_same_length(known)
    used, gone = _usable(known, left_out or {})
    items, people = _encoded(used["item"]), _encoded(used["annotator"])
    names = _ordered(_labels_in(used), order)
    moments = _reals(used.get("when"))
    return LabelTable(
        items=items,
        people=people,
        labels=Column(_codes(used["label"], names), names),
        accepted=_gold_table(items, used.get("gold"), names),
        left=_labels(used.get("left"), names),
        tie=tie,
        longer=_labels(used.get("longer"), names),
        suggestion=_labels(used.get("suggestion"), names),
        seconds=_reals(used.get("seconds")),
        words=_reals(used.get("words")),
        when=moments,
        groups=_one_each(people, used.get("group"), "annotator", "groups"),
        clusters=_one_each(items, used.get("cluster"), "item", "clusters"),
        repeated=_repeats(items, people, moments),
        left_out=gone,
    )


def read_table(
    path: Path,
    *,
    item: str,
    annotator: str,
    label: str,
    order: Sequence[str] | None = None,
    **columns: str | None,
) -> LabelTable:
    """A table of labels from a CSV, TSV, JSON Lines, JSON or Parquet file (gzip allowed).

    Args:
        path: the file.
        item: name of the column that says what was labelled.
        annotator: name of the column that says by whom.
        label: name of the column with the answer.
        order: labels in their order, for ordinal statistics.
        **columns: names of further columns, as `table_of` takes them (gold, left, seconds, ...).

    Raises:
        DataError: the file cannot be read, lacks a column, or no row is usable.
    """
    named = {"item": item, "annotator": annotator, "label": label}
    named |= {key: name for key, name in columns.items() if name is not None}
    values: dict[str, Any] = {key: [] for key in named}
    malformed = 0
    seen: dict[str, None] = {}
    for row in _rows(path):
        if row is None:
            malformed += 1
            continue
        seen.update(dict.fromkeys(row))
        for key, name in named.items():
            values[key].append(row.get(name))
    if missing := [name for name in named.values() if name not in seen]:
        raise DataError(
            "the table has no such column",
            where=str(path),
            expected="one of " + ", ".join(seen) if seen else "a table with columns",
            got=", ".join(missing),
            remedy="name the columns with --item, --annotator, --label and --gold",
        )
    gone = {"malformed": malformed} if malformed else {}
    return table_of(order=order, left_out=gone, **values)


def text(value: Any) -> str:
    """A label as text: 1, 1.0 and "1" are one label, as files differ in how they write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value).strip()


def _none(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _number(name: str) -> float | None:
    try:
        number = float(name)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _real(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError("not a number", got=repr(value)[:80]) from error


def _require_same_length(columns: Mapping[str, Sequence[Any]]) -> None:
    for name, column in columns.items():
        if len(column) != len(columns["item"]):
            raise DataError(
                "columns differ in length",
                where=name,
                expected=str(len(columns["item"])),
                got=str(len(column)),
            )


def _usable(
    columns: Mapping[str, Sequence[Any]], left_out: Mapping[str, int]
) -> tuple[Columns, dict[str, int]]:
    """The rows that say who said what of which item, and how many do not, by reason."""
    keys = ("item", "annotator", "label")
    gone = Counter(left_out)
    keep: list[int] = []
    for row, key in enumerate(zip(*(columns[name] for name in keys), strict=True)):
        missing = [name for name, value in zip(keys, key, strict=True) if _none(value)]
        if missing:
            gone[f"without {missing[0]}"] += 1
        else:
            keep.append(row)
    if not keep:
        raise DataError(
            "no usable row",
            expected="rows with an item, an annotator and a label",
            got=", ".join(f"{n} rows {why}" for why, n in gone.items()) or "no rows",
            remedy="check the names of the columns",
        )
    return {name: [column[row] for row in keep] for name, column in columns.items()}, dict(gone)


def _labels_in(columns: Columns) -> set[str]:
    """Every label that is given, accepted as gold, shown on the left, ..."""
    named = ("label", "left", "longer", "suggestion")
    values = chain.from_iterable(columns.get(name, []) for name in named)
    golds = chain.from_iterable(map(_accepted, columns.get("gold", [])))
    return {text(value) for value in values if not _none(value)} | set(golds)


def _labels(values: Sequence[Any] | None, names: Sequence[str]) -> Codes | None:
    return None if values is None else _codes(values, names)


def _codes(values: Sequence[Any], names: Sequence[str]) -> Codes:
    number = {name: i for i, name in enumerate(names)}
    return np.array([-1 if _none(v) else number[text(v)] for v in values], dtype=np.int64)


def _reals(values: Sequence[Any] | None) -> Floats | None:
    if values is None:
        return None
    return np.array([math.nan if _none(value) else _real(value) for value in values])


def _encoded(values: Sequence[Any]) -> Column:
    """Names in order of appearance."""
    known: dict[str, int] = {}
    codes = [known.setdefault(text(value), len(known)) for value in values]
    return Column(np.array(codes, dtype=np.int64), tuple(known))


def _ordered(names: set[str], order: Sequence[str] | None) -> tuple[str, ...]:
    if order is not None:
        if unknown := sorted(names - set(order)):
            raise ConfigError(
                "labels that the given order lacks",
                expected=", ".join(order),
                got=", ".join(unknown[:8]),
                remedy="list every label, from lowest to highest",
            )
        return tuple(order)
    numbers = {name: _number(name) for name in names}
    if None in numbers.values():
        return tuple(sorted(names))
    return tuple(sorted(names, key=lambda name: (numbers[name], name)))


def _accepted(value: Any) -> tuple[str, ...]:
    if _none(value):
        return ()
    return tuple(sorted({text(v) for v in (value if isinstance(value, list | tuple) else [value])}))


def _gold_table(
    items: Column, values: Sequence[Any] | None, names: Sequence[str]
) -> NDArray[np.bool_] | None:
    """[item, label] whether the item's gold accepts the label."""
    if values is None:
        return None
    known: dict[int, tuple[str, ...]] = {}
    for code, gold in zip(items.codes.tolist(), map(_accepted, values), strict=True):
        if gold and known.setdefault(code, gold) != gold:
            raise DataError(
                "an item has two different golds",
                where=f"item {items.names[code]}",
                got=f"{', '.join(known[code])} and {', '.join(gold)}",
                remedy="give each item one gold, or a list of accepted labels in every row",
            )
    table = np.zeros((len(items.names), len(names)), dtype=bool)
    for code, gold in known.items():
        table[code] = np.isin(names, gold)
    return table


def _one_each(keys: Column, values: Sequence[Any] | None, unit: str, what: str) -> Column | None:
    """The one value that all rows of each key have."""
    if values is None:
        return None
    known: dict[int, str] = {}
    for code, value in zip(keys.codes.tolist(), values, strict=True):
        if not _none(value) and known.setdefault(code, text(value)) != text(value):
            raise DataError(
                f"an {unit} is in two {what}",
                where=f"{unit} {keys.names[code]}",
                got=f"{known[code]} and {text(value)}",
                remedy=f"give each {unit} one; name combinations as {what} of their own",
            )
    names = sorted(set(known.values()))
    number = {name: i for i, name in enumerate(names)}
    codes = [number[known[k]] if k in known else -1 for k in range(len(keys.names))]
    return Column(np.array(codes, dtype=np.int64), tuple(names))


def _repeats(items: Column, people: Column, when: Floats | None) -> NDArray[np.bool_]:
    """Answers that are not the first of their person to their item, by time or else by row."""
    order = np.arange(len(items)) if when is None else np.argsort(when, kind="stable")
    keys = items.codes[order] * len(people.names) + people.codes[order]
    _, firsts = np.unique(keys, return_index=True)
    repeated = np.ones(len(items), dtype=bool)
    repeated[order[firsts]] = False
    return repeated


def _rows(path: Path) -> Iterator[Mapping[str, Any] | None]:
    """Rows as mappings; None for a malformed one."""
    if not path.is_file():
        raise DataError(
            "file not found", where=str(path), remedy="check the path for typing errors"
        )
    if path.name.endswith(TABLES):
        yield from _delimited(path)
        return
    from fairlead.data.readers.registry import BadRow
    from fairlead.data.readers.sources import open_sources

    sources, _ = open_sources(str(path), None)
    for source in sources:
        for _, row in source.rows:
            yield None if isinstance(row, BadRow) else row


def _delimited(path: Path) -> Iterable[Mapping[str, Any] | None]:
    raw = path.read_bytes()
    try:
        content = (gzip.decompress(raw) if path.name.endswith(".gz") else raw).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(
            "the file cannot be read to its end",
            where=str(path),
            got=str(error),
            remedy="restore the file; text must be UTF-8",
        ) from error
    tab = ".tsv" in path.suffixes
    reader = csv.DictReader(io.StringIO(content, newline=""), delimiter="\t" if tab else ",")
    for row in reader:
        # The reader marks rows of another width with the key None or the value None.
        yield None if None in row or None in row.values() else row
