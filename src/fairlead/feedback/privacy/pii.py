"""Personal data in texts: e-mail and IP addresses, telephone, bank account and card numbers.

Patterns find what is written in a usual form, and checksums keep most other numbers out. Names,
streets and anything spelt out are not found: people can flag those.
"""

import ipaddress
import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["email", "iban", "card", "ip", "phone"]
Policy = Literal["report", "mask", "refuse"]
"""What becomes of texts with personal data: they stay and are reported, the data is blotted out, or
the row is refused."""

Value = TypeVar("Value")

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"(?<![\d.+-])\d(?:[ -]?\d){12,18}(?![\d.]?\d)")
_IPV4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\d)")
_IPV6 = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f:]{2,39}(?![0-9A-Za-z:])")
_PHONE = re.compile(
    r"(?<![\w.+-])(?<!\d )(?:\+|00)[1-9]\d{0,2}(?:[ ./-]?\(?\d{1,5}\)?){2,6}(?!\w)"  # +44 20 ...
    r"|(?<![\w.+-])(?<!\d )\(?0\d{1,5}\)?[ /-]\d{2,5}(?:[ -]?\d{2,5}){1,3}(?!\w)"  # 020 7946 ...
    r"|(?<![\w.+-])\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4}(?!\w)"  # (555) 234-5678
)


@dataclass(frozen=True)
class Hit:
    """Where in a text something stands."""

    kind: Kind
    start: int
    end: int


class PersonalData(BaseModel):
    """What a scan found. Says where, never what, so that the report may be kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Policy
    texts: int
    """Texts that were looked at."""
    found: dict[str, int] = Field(default_factory=dict)
    """How many of each kind."""
    places: tuple[str, ...] = ()
    """Up to a hundred places: item, field, kind."""


MOST_PLACES = 100


class Scan:
    """Scans texts one after the other and counts."""

    def __init__(self, policy: Policy) -> None:
        self.policy: Policy = policy
        self._texts = 0
        self._found: Counter[str] = Counter()
        self._places: list[str] = []

    @property
    def count(self) -> int:
        """How much was found so far."""
        return self._found.total()

    def text(self, text: str, place: str) -> str:
        """The text, blotted where the policy says so; counts what is in it."""
        self._texts += 1
        hits = find(text)
        for hit in hits:
            self._found[hit.kind] += 1
            if len(self._places) < MOST_PLACES:
                self._places.append(f"{place}: {hit.kind}")
        return mask(text, hits) if self.policy == "mask" else text

    def value(self, value: Value, place: str) -> Value:
        """The same for all texts within a JSON value."""
        return _mapped(value, lambda text: self.text(text, place))

    def report(self) -> PersonalData:
        """What was found so far."""
        return PersonalData(
            policy=self.policy,
            texts=self._texts,
            found=dict(sorted(self._found.items())),
            places=tuple(self._places),
        )


def find(text: str) -> tuple[Hit, ...]:
    """Personal data in a text, from left to right, without overlaps.

    An IBAN needs its checksum (ISO 7064, mod 97), a card number Luhn's digit, an IP address valid
    numbers. What is found as one kind is not looked at again as another.
    """
    hits: list[Hit] = []
    for kind, pattern, holds in _KINDS:
        for match in pattern.finditer(text):
            found = Hit(kind, *match.span())
            place = bisect(hits, found.start, key=lambda hit: hit.start)
            free = not any(_overlap(found, one) for one in hits[max(place - 1, 0) : place + 1])
            if free and holds(match.group()):
                hits.insert(place, found)
    return tuple(hits)


def mask(text: str, hits: Sequence[Hit] | None = None) -> str:
    """The text with `[email]`, `[phone]` ... in the place of personal data."""
    parts: list[str] = []
    end = 0
    for hit in find(text) if hits is None else hits:
        parts += [text[end : hit.start], f"[{hit.kind}]"]
        end = hit.end
    return "".join([*parts, text[end:]])


def kinds_in(texts: Iterable[str]) -> dict[str, int]:
    """How many of each kind some texts hold."""
    return dict(sorted(Counter(hit.kind for text in texts for hit in find(text)).items()))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(one, change) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(one, change) for one in value)
    return value


def _overlap(one: Hit, other: Hit) -> bool:
    return one.start < other.end and other.start < one.end


def _is_iban(text: str) -> bool:
    number = text.replace(" ", "")
    if not 15 <= len(number) <= 34:
        return False
    digits = "".join(str(int(c, 36)) for c in number[4:] + number[:4])
    return int(digits) % 97 == 1


def _is_card(text: str) -> bool:
    digits = [int(c) for c in text if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [sum(divmod(2 * d, 10)) for d in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_ip(text: str) -> bool:
    if ":" in text and (text.count(":") < 2 or sum(c.isalnum() for c in text) < 4):
        return False  # a time of day, or two colons of a program
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_phone(text: str) -> bool:
    return 9 <= sum(c.isdigit() for c in text) <= 15  # a date has eight


_KINDS: tuple[tuple[Kind, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("email", _EMAIL, lambda _: True),
    ("iban", _IBAN, _is_iban),
    ("card", _CARD, _is_card),
    ("ip", _IPV4, _is_ip),
    ("ip", _IPV6, _is_ip),
    ("phone", _PHONE, _is_phone),
)
