import os
from collections import Counter, OrderedDict, deque, namedtuple
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.rewards.verifiers.confined.exchange import Link, LinkBroken, decode, encode

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.fractions(),
    st.complex_numbers(allow_nan=False, max_magnitude=1e6),
    st.decimals(allow_nan=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.frozensets(SCALARS, max_size=3),
        st.sets(SCALARS, max_size=3),
        st.dictionaries(SCALARS, inner, max_size=3),
        st.builds(deque, st.lists(inner, max_size=3)),
    ),
    max_leaves=8,
)


def no_handle(value):
    raise AssertionError(f"{value!r} became a handle")


def there_and_back(value):
    read_from, write_to = os.pipe()
    link = Link(read_from, write_to)
    link.send({"value": encode(value, no_handle)})
    os.close(write_to)
    return decode(link.receive()["value"], no_handle)


@given(VALUES)
def test_plain_values_arrive_as_they_were(value):
    arrived = there_and_back(value)
    assert arrived == value
    assert type(arrived) is type(value)


class Colour(IntEnum):
    RED = 3


class Agreeable(str):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, 3),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (namedtuple("Point", "x y")(1, 2), (1, 2)),
        (Agreeable("a"), "a"),
        (range(2, 9, 3), range(2, 9, 3)),
        (bytearray(b"ab"), bytearray(b"ab")),
        (Decimal("1.50"), Decimal("1.50")),
        (Fraction(1, 3), Fraction(1, 3)),
        (int, int),
    ],
)
def test_subclasses_lose_what_they_add(value, plain):
    arrived = there_and_back(value)
    assert arrived == plain
    assert type(arrived) is type(plain)


def test_an_object_that_equals_everything_becomes_a_handle():
    class Equal:
        def __eq__(self, other: object) -> bool:
            return True

    handles = []
    encoded = encode([Equal()], lambda value: handles.append(value) or ["handle", 0])
    assert encoded == ["list", [["handle", 0]]]
    assert len(handles) == 1


@pytest.mark.parametrize(
    "message",
    [
        ["type", "eval"],
        ["type", "nothing"],
        ["decimal", "one"],
        ["fraction", [1, 0]],
        ["list"],
        ["dict", [1]],
        ["bytes", "zz"],
        ["complex", "a"],
        ["set", [["list", []]]],
        {"a": 1},
    ],
)
def test_what_is_no_value_is_refused(message):
    def resolve(kind, content):
        raise LinkBroken(kind)

    with pytest.raises(LinkBroken):
        decode(message, resolve)


@pytest.mark.parametrize("line", [b"", b"{", b"[1]\n", b"{\n", b"[" * 100_000 + b"\n", b"\xff\n"])
def test_what_is_no_message_breaks_the_link(line):
    read_from, write_to = os.pipe()
    os.set_blocking(write_to, False)
    os.write(write_to, line[:60_000] + (b"\n" if len(line) > 60_000 else b""))
    os.close(write_to)
    with pytest.raises(LinkBroken):
        Link(read_from, -1).receive()
