"""Principles are drawn by weight, and only the items concerned move when a version changes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.constitution.diff import changes, is_current, lines, touched
from fairlead.constitution.principles import Constitution, Principle
from fairlead.constitution.reading import PACKAGED, load_constitution
from fairlead.records import Comparison, Critique, Prompt, Provenance


def principle(id: str, **fields: object) -> Principle:
    words = {
        "text": f"be {id}",
        "critique_request": f"is it {id} ?",
        "revision_request": f"make it {id}",
        "comparison_question": f"which is more {id} ?",
    }
    return Principle.model_validate({"id": id, **words, **fields})


def constitution(*principles: Principle, version: str = "1", **fields: object) -> Constitution:
    values = {"name": "test", "version": version, "principles": principles, **fields}
    return Constitution.model_validate(values)


ITEMS = [Prompt.of(f"question {i}") for i in range(3000)]


def drawn(c: Constitution) -> list[str]:
    found = [c.draw(prompt, "a", "b") for prompt in ITEMS]
    return [p.id for p in found if p]


def test_shares_follow_the_weights():
    c = constitution(principle("a", weight=1), principle("b", weight=2), principle("c", weight=5))
    found = {id: count / len(ITEMS) for id, count in Counter(drawn(c)).items()}
    # Four standard errors of a share of 3000 draws are below 0.037.
    assert found == pytest.approx({"a": 1 / 8, "b": 2 / 8, "c": 5 / 8}, abs=0.037)


def test_an_added_principle_takes_items_and_moves_no_others():
    a, b, c = principle("a"), principle("b"), principle("c")
    before, after = drawn(constitution(a, b)), drawn(constitution(c, b, a))
    moved = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert {new for _, new in moved} == {"c"}
    assert len(moved) / len(ITEMS) == pytest.approx(1 / 3, abs=0.035)


def test_a_removed_principle_gives_up_its_items_alone():
    a, b, c = principle("a"), principle("b"), principle("c")
    before, after = drawn(constitution(a, b, c)), drawn(constitution(a, b))
    assert all(old == new or old == "c" for old, new in zip(before, after, strict=True))
    assert Counter(after).keys() == {"a", "b"}


def test_a_heavier_principle_only_gains():
    light = constitution(principle("a"), principle("b"))
    heavy = constitution(principle("a", weight=3), principle("b"))
    pairs = zip(drawn(light), drawn(heavy), strict=True)
    assert {(old, new) for old, new in pairs if old != new} == {("b", "a")}


def test_principles_keep_to_their_subsets():
    c = constitution(principle("a", applies_to=("harmful",)), principle("b", applies_to=("fact",)))
    assert c.draw(Prompt.of("x", subset="harmful")).id == "a"  # pyright: ignore
    assert c.draw(Prompt.of("x", subset="fact")).id == "b"  # pyright: ignore
    assert c.draw(Prompt.of("x", subset="open")) is None


def test_another_seed_draws_anew_and_the_same_seed_does_not():
    a, b = principle("a"), principle("b")
    first, again = drawn(constitution(a, b)), drawn(constitution(a, b))
    other = drawn(constitution(a, b, seed=1))
    assert first == again
    differing = sum(x != y for x, y in zip(first, other, strict=True))
    assert differing / len(ITEMS) == pytest.approx(0.5, abs=0.04)


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_hashes_change_with_the_words_they_stand_for(one: str, other: str):
    a, b = principle("a", comparison_question=one), principle("a", comparison_question=other)
    same = a.comparison_question == b.comparison_question
    assert (a.comparison_hash == b.comparison_hash) is same
    assert a.critique_hash == b.critique_hash


def test_rationale_changes_the_constitution_but_no_label():
    a, b = constitution(principle("a")), constitution(principle("a", rationale="because"))
    assert a.hash != b.hash
    assert a.critique_hashes == b.critique_hashes


def test_what_a_diff_says():
    old = constitution(principle("a"), principle("b"), principle("c"))
    new = constitution(
        principle("a", text="be different", weight=2), principle("c"), principle("d"), version="2"
    )
    assert [str(change) for change in changes(old, new)] == [
        "changed: a: text (decides comparisons and revisions), weight (decides how often it is "
        "drawn)",
        "added: d",
        "removed: b",
    ]
    assert changes(old, old) == []


def labelled(c: Constitution) -> list[Comparison]:
    """Comparisons as a labelling run would make them."""
    made: list[Comparison] = []
    for prompt in ITEMS[:600]:
        by = c.draw(prompt, "x", "y")
        assert by is not None
        at = Provenance(source="s", principle=by.id, wording=by.comparison_hash, feedback="ai")
        made.append(Comparison(prompt=prompt, chosen="y", rejected="x", provenance=at))
    return made


def test_labels_that_a_new_version_touches():
    old = constitution(principle("a"), principle("b"), principle("c"))
    labels = labelled(old)
    counts = Counter(label.provenance.principle for label in labels)  # pyright: ignore
    assert touched(labels, old).anew == 0
    reworded = constitution(principle("a"), principle("b", text="other words"), principle("c"))
    assert touched(labels, reworded).by_principle == {"b": counts["b"]}
    fewer = constitution(principle("a"), principle("b"))
    assert touched(labels, fewer).by_principle == {"c": counts["c"]}
    critiques = constitution(principle("a", critique_request="what of a ?"), *old.principles[1:])
    assert touched(labels, critiques).anew == 0
    more = constitution(*old.principles, principle("d"))
    found = touched(labels, more)
    assert found.anew == sum(not is_current(label, more) for label in labels)
    assert found.anew / len(labels) == pytest.approx(1 / 4, abs=0.08)


def test_labels_by_people_are_never_touched():
    new = constitution(principle("a"))
    human = Comparison(prompt=ITEMS[0], chosen="x", rejected="y")
    found = touched([human], new)
    assert (found.anew, found.stay, found.foreign) == (0, 0, 1)
    assert list(lines(new, new, [human]))[-1] == "1 records were decided by no principle and stay"


def test_critiques_follow_the_words_of_their_principle():
    old = constitution(principle("a"))
    at = Provenance(source="s", principle="a", wording=old.critique_hashes["a"])
    step = Critique(prompt=ITEMS[0], response="r", critique="c", provenance=at)
    assert is_current(step, old)
    assert not is_current(step, constitution(principle("a", revision_request="mend it")))
    shown = {"prompt": "p", "reply": "r", "critique": "c", "revision": "v"}
    assert not is_current(step, constitution(principle("a"), examples=[shown]))


@pytest.mark.parametrize("name", PACKAGED)
def test_packaged_constitutions_are_in_order(name: str):
    loaded = load_constitution(name)
    assert len({p.id for p in loaded.principles}) == len(loaded.principles)


def test_the_default_covers_what_it_should():
    ids = {p.id for p in load_constitution("default").principles}
    assert ids == {
        *("helpful", "harmless", "honest", "non-deceptive", "autonomy", "privacy"),
        *("plain-refusal", "no-over-refusal"),
    }
