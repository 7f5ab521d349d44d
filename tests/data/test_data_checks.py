from hypothesis import given
from hypothesis import strategies as st

from fairlead.data import checks
from fairlead.records import Comparison, Demonstration, Problem, Prompt, Provenance, Ranking, Record


def at(row: int, annotator: str | None = None) -> Provenance:
    return Provenance(source="f.jsonl", row=row, annotator=annotator)


def pair(
    row: int, chosen: str, rejected: str, prompt: str = "Why?", who: str | None = None
) -> Comparison:
    asked = Prompt.of(prompt, provenance=at(row, who))
    return Comparison(prompt=asked, chosen=chosen, rejected=rejected)


def test_identical_pairs_are_counted_with_where_they_stand():
    records = [pair(1, "a", "b"), pair(2, "same ", "same"), pair(3, "x", "x")]
    finding = checks.identical_pairs(records)
    assert finding.count == 2
    assert finding.examples == ("f.jsonl, row 2: Why?", "f.jsonl, row 3: Why?")


def test_empty_answers_of_all_kinds():
    records: list[Record] = [
        pair(1, "a", " \n"),
        Demonstration(prompt=Prompt.of("p"), response=""),
        Ranking(prompt=Prompt.of("p"), responses=("a", ""), ranks=(0, 1)),
        Problem(prompt=Prompt.of("p"), answer="4"),
        Prompt.of("p"),
    ]
    assert checks.empty_answers(records).count == 3


def test_duplicates_ignore_the_row_but_not_the_judge():
    twice = [pair(1, "a", "b"), pair(2, "a", "b"), pair(3, "b", "a")]
    assert checks.duplicates(twice).count == 1
    assert checks.duplicates([pair(1, "a", "b", who="x"), pair(2, "a", "b", who="y")]).count == 0
    prompts = [Prompt.of("p", provenance=at(1), subset="s"), Prompt.of("p", provenance=at(2))]
    assert checks.duplicates(prompts).count == 1


def test_leaks_need_a_long_answer():
    answer = "the quick brown fox jumps"
    told = pair(1, "The answer is no.", answer, prompt=f"Say:\n{answer.replace(' ', '  ')}!")
    short = pair(2, "yes", "no", prompt="yes or no?")
    assert checks.leaks([told, short]).count == 1
    assert checks.leaks([told, short], minimum=2).count == 2


def test_prompts_in_two_splits():
    train = [pair(1, "a", "b", "one"), pair(2, "a", "b", "two"), pair(3, "c", "d", "two")]
    test = [pair(4, "e", "f", "two "), pair(5, "e", "f", "three")]
    finding = checks.shared_prompts({"train": train, "test": test})
    assert finding.count == 1
    assert finding.examples == ("train (f.jsonl, row 2: two) and test (f.jsonl, row 4: two)",)


def test_clean_removes_and_reports():
    records = [
        pair(1, "a", "b"),
        pair(2, "", ""),
        pair(3, "a", ""),
        pair(4, "a", "b"),
        pair(5, "b", "a"),
    ]
    kept, findings = checks.clean(records)
    assert kept == (records[0], records[4])
    assert [f.count for f in findings] == [1, 1, 1]
    assert findings[2].examples == ("f.jsonl, row 4: Why?",)


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from(["", "a", "b"]))))
def test_clean_accounts_for_every_record_and_is_idempotent(sides):
    records = [pair(i, *side) for i, side in enumerate(sides)]
    kept, findings = checks.clean(records)
    assert len(kept) + sum(f.count for f in findings) == len(records)
    assert checks.clean(kept)[0] == kept
    for check in (checks.identical_pairs, checks.empty_answers, checks.duplicates):
        assert check(kept).count == 0
