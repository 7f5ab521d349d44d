import pytest

from fairlead.feedback.privacy.pii import Scan, find, mask


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("write to ann.lee+x@mail.example.org, please", ["email"]),
        ("not@ an @address", []),
        ("DE89 3704 0044 0532 0130 00 is mine", ["iban"]),
        ("GB82WEST12345698765432", ["iban"]),
        ("DE89 3704 0044 0532 0130 01 has a wrong digit", []),
        ("card 4111 1111 1111 1111.", ["card"]),
        ("card 4111-1111-1111-1112", []),
        ("order 0000 0000 0000 0000", []),
        ("from 192.168.10.1 and 2001:db8::8a2e:370:7334", ["ip", "ip"]),
        ("version 1.2.3, 1.2.3.4.5, 300.1.1.1, 12:30:45, std::cout", []),
        ("call +44 20 7946 0958 or (555) 234-5678", ["phone", "phone"]),
        ("Tel. 030 1234567", ["phone"]),
        ("on 01-02-2026, 2026-01-05, in 1,000,000 rows, 3.14159265", []),
        ("7 * 8 = 56; 123456789 grains", []),
    ],
)
def test_what_is_found_in_a_text(text, kinds):
    assert [hit.kind for hit in find(text)] == kinds


def test_masking_leaves_the_rest():
    text = "a@b.example, +44 20 7946 0958 und DE89370400440532013000!"
    assert mask(text) == "[email], [phone] und [iban]!"
    assert mask("nothing here") == "nothing here"


def test_a_scan_counts_and_says_where_but_not_what():
    scan = Scan("mask")
    value = {"text": "I am a@b.example", "tags": ["10.0.0.1", "ok"]}
    assert scan.value(value, "i1") == {"text": "I am [email]", "tags": ["[ip]", "ok"]}
    report = scan.report()
    assert (report.texts, report.found) == (3, {"email": 1, "ip": 1})
    assert report.places == ("i1: email", "i1: ip")
    assert Scan("report").text("a@b.example", "i1") == "a@b.example"


def test_long_hostile_texts_take_no_time():
    for piece in ("a@", "1 ", "0 1", "(0", "a.", "::", "DE89 ", "+1("):
        assert len(find(piece * 20_000)) <= 20_000
