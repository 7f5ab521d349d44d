"""Readers on real public files, with the counts those files are known to hold."""

from collections import Counter
from pathlib import Path

import pytest

from fairlead.core.errors import DataError
from fairlead.data.readers import read
from fairlead.records import Comparison, Ranking, Rating, StepLabels

DATA = Path(__file__).parents[2] / "../shared/data"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the folder of real data is not here")

COUNTS = [
    ("hh-rlhf", "hh-rlhf", {"Comparison": 1420}, 0),
    ("autoj-pairwise", "pairwise-label", {"Comparison": 981}, 0),
    ("tulu-human-eval", "pairwise-label", {"Comparison": 748}, 0),
    ("llmbar/instances.part-A.jsonl.gz", "pairwise-label", {"Comparison": 850}, 0),
    ("hhh-alignment/hhh.part-A.jsonl.gz", "preference", {"Comparison": 161}, 0),
    ("llamafactory-demo/dpo_en.jsonl.gz", "preference", {"Comparison": 296}, 0),
    ("llamafactory-demo/kto_en.jsonl.gz", "prompt-completion-label", {"Rating": 298}, 0),
    ("oasst-trees", "oasst-trees", {"Ranking": 131}, 0),
    ("finegrained-rlhf", "finegrained-rlhf", {"Ranking": 340, "Comparison": 90}, 0),
    ("gsm8k/train.jsonl.gz", "gsm8k", {"Problem": 7473}, 0),
    ("gsm8k/test.part-A.jsonl.gz", "gsm8k", {"Problem": 814}, 0),
    ("gsm8k/test_socratic.part-A.jsonl.gz", "gsm8k", {"Problem": 814}, 0),
    ("gsm8k/example_model_solutions.part-A.jsonl.gz", "marked-solutions", {"Rating": 3256}, 0),
    ("bigbench-mistake", "steps", {"StepLabels": 1546}, 0),
    ("mr-gsm8k", "steps", {"StepLabels": 373}, 0),
    # Rows without a prompt or without a completion: the source left them out.
    ("openai-rbr-gold/train.jsonl.gz", "demonstration", {"Demonstration": 230}, 18),
    ("xstest/completion_labels.part-A.jsonl.gz", "demonstration", {"Demonstration": 612}, 918),
    ("xstest/xstest_prompts.part-A.jsonl.gz", "prompts", {"Prompt": 306}, 0),
    ("mt-bench/mt_bench_questions.jsonl.gz", "mt-bench", {"Prompt": 80}, 0),
    ("mt-bench/vicuna_bench_questions.jsonl.gz", "mt-bench", {"Prompt": 80}, 0),
    ("pandalm", "pandalm", {"Comparison": 3 * 712}, 0),
]


@pytest.mark.parametrize(("path", "format", "kinds", "rejected"), COUNTS)
def test_counts(path, format, kinds, rejected):
    result = read(DATA / path)
    assert result.format == format
    assert Counter(type(r).__name__ for r in result.records) == kinds
    assert len(result.rejected) == rejected
    assert all(file.is_file() for file in result.files)


def test_hh_sides_share_their_prompt():
    pairs = [r for r in read(DATA / "hh-rlhf").records if isinstance(r, Comparison)]
    assert all(p.prompt.messages[0].role == p.prompt.messages[-1].role == "user" for p in pairs)
    assert sum(len(p.chosen) > len(p.rejected) for p in pairs) == 650


def test_verdicts():
    autoj = [r for r in read(DATA / "autoj-pairwise").records if isinstance(r, Comparison)]
    assert sum(r.tie for r in autoj) == 279
    assert len({r.prompt.subset for r in autoj}) == 58
    tulu = [r for r in read(DATA / "tulu-human-eval").records if isinstance(r, Comparison)]
    assert Counter(r.strength for r in tulu) == {0.0: 254, 1.0: 272, 2.0: 222}
    hhh = read(DATA / "hhh-alignment/hhh.part-A.jsonl.gz").records
    subsets = Counter(r.prompt.subset for r in hhh if isinstance(r, Comparison))
    assert subsets == {"honest": 56, "harmless": 40, "helpful": 34, "other": 31}
    kto = read(DATA / "llamafactory-demo/kto_en.jsonl.gz").records
    assert sum(r.value for r in kto if isinstance(r, Rating)) == 150


def test_every_annotator_has_a_say():
    said = [r for r in read(DATA / "pandalm").records if isinstance(r, Comparison)]
    assert sum(r.tie for r in said) == 251
    assert Counter(r.prompt.provenance.annotator for r in said) == {
        f"annotator{i}": 712 for i in (1, 2, 3)
    }


def test_rankings_hold_every_preference_of_the_source():
    records = read(DATA / "finegrained-rlhf").records
    ranked = [r for r in records if isinstance(r, Ranking)]
    pairs = [(a, b) for r in ranked for i, a in enumerate(r.ranks) for b in r.ranks[i + 1 :]]
    apart = [r for r in records if isinstance(r, Comparison)]
    # The six verdicts of 355 rows: 271 are 0, 1119 are 1 and 740 are 2.
    assert sum(a == b for a, b in pairs) + sum(r.tie for r in apart) == 271
    assert sum(a != b for a, b in pairs) + sum(not r.tie for r in apart) == 1119 + 740


def test_step_labels_mark_the_first_error():
    traces = [r for r in read(DATA / "bigbench-mistake").records if isinstance(r, StepLabels)]
    assert sum(-1 in r.labels for r in traces) == 1205
    assert sum(set(r.labels) == {1} for r in traces) == 341


def test_a_folder_of_several_formats_needs_a_name():
    with pytest.raises(DataError, match="mixes formats"):
        read(DATA / "gsm8k")
    result = read(DATA / "gsm8k", "gsm8k")
    assert (len(result.records), len(result.rejected)) == (7473 + 814 + 814, 814)
    assert len(read(DATA / "gsm8k", split="train").records) == 7473


def test_strict_reading_stops_at_the_first_bad_row():
    with pytest.raises(DataError, match="malformed row") as caught:
        read(DATA / "openai-rbr-gold/train.jsonl.gz", strict=True)
    assert caught.value.where == "train.jsonl.gz, row 3, field prompt"
