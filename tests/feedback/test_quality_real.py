"""Agreement on real public files, with the figures those files are known to have."""

import gzip
import json
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pytest
from crowdkit.metrics.data import alpha_krippendorff

from fairlead.core.seeds import Seed
from fairlead.feedback.quality import dawid_skene, measure_agreement, order_flips
from fairlead.feedback.tables import read_table, table_of

DATA = Path(__file__).parents[2] / "../shared/data"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the folder of real data is not here")
SEED = Seed(0)


def rows(name: str) -> list[dict]:
    with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def wide(name: str, columns: list[str]):
    """A table of files with one column per person."""
    read = [(i, c, row[c]) for i, row in enumerate(rows(name)) for c in columns]
    item, annotator, label = zip(*read, strict=True)
    return table_of(item=item, annotator=annotator, label=label, tie="0")


def bbq(part: str):
    return read_table(
        DATA / f"bbq/mturk_validation_{part}_long.jsonl.gz",
        item="item",
        annotator="annotator",
        label="answer",
        gold="gold",
    )


def test_pandalm():
    people = ["annotator1", "annotator2", "annotator3"]
    found = measure_agreement(wide("pandalm/human_3annotators.part-A.jsonl.gz", people), seed=SEED)
    assert (found.items, found.people, len(found.pairs)) == (712, 3, 3)
    assert found["percent"].value == pytest.approx(0.920, abs=5e-4)
    assert found["fleiss_kappa"].value == pytest.approx(0.866, abs=5e-4)


@pytest.mark.parametrize(
    ("part", "percent", "kappa", "accuracy"),
    [("finalval", 0.913, 0.869, 0.951), ("round3", 0.930, 0.894, 0.953)],
)
def test_bbq(part, percent, kappa, accuracy):
    found = measure_agreement(bbq(part), seed=SEED)
    assert found["percent"].value == pytest.approx(percent, abs=5e-4)
    assert found["fleiss_kappa"].value == pytest.approx(kappa, abs=5e-4)
    assert found.gold.accuracy.value == pytest.approx(accuracy, abs=5e-4)


def test_alpha_on_bbq_equals_crowd_kit():
    table = bbq("finalval")
    frame = pd.DataFrame(
        {"task": table.items.codes, "worker": table.people.codes, "label": table.labels.codes}
    )
    ours = measure_agreement(table, seed=SEED)["krippendorff_alpha_nominal"].value
    assert ours == pytest.approx(alpha_krippendorff(frame), abs=1e-9)


def test_dawid_skene_on_bbq_is_nearer_to_gold_than_its_workers():
    table = bbq("finalval")
    found = dawid_skene(table)
    right = table.accepted[range(len(found.items)), found.label]
    assert found.convergence.converged
    assert right.mean() > 0.98
    # The worker who is most often wrong against gold is also the least trusted without it.
    assert min(found.accuracy, key=lambda name: found.accuracy[name].value) == "w036"


def test_xstest():
    two = ["annotation_1", "annotation_2"]
    found = measure_agreement(wide("xstest/completion_labels.part-A.jsonl.gz", two), seed=SEED)
    assert found["percent"].value == pytest.approx(0.967, abs=5e-4)
    assert found["mean_cohen_kappa"].value == pytest.approx(0.941, abs=5e-4)
    assert found.pairs[0].kappa.value == pytest.approx(0.941, abs=5e-4)


@pytest.mark.parametrize(
    ("judge", "share"),
    [("GPT-4", 0.112), ("PaLM2", 0.324), ("ChatGPT-0301", 0.473), ("Falcon", 0.585)],
)
def test_llmbar_flips(judge, share):
    verdicts = defaultdict(list)
    for row in rows("llmbar/judge_verdicts.part-A.jsonl.gz"):
        if row["strategy"] == "Vanilla":
            verdicts[row["judge"]].append((row["winner_order_ab"], row["winner_order_ba"]))
    first, second = zip(*verdicts[judge], strict=True)
    assert order_flips(first, second).value == pytest.approx(share, abs=5e-4)
