"""Model card, datasheet and bill of materials, made from a run's own records."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from huggingface_hub import ModelCard

from fairlead.core.errors import DataError
from fairlead.core.files import write_json, write_text
from fairlead.lineage import make_inputs, make_manifest, outputs_digest, read, write
from fairlead.lineage.ancestry import ancestry
from fairlead.lineage.data_sets import data_sets
from fairlead.records import Comparison, Prompt, Provenance
from fairlead.records.files import write_records
from fairlead.report import check, write_evidence
from fairlead.report.clauses import ROWS
from planted_audits import findings, write_audited


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audited run whose SFT stage also wrote comparisons, of a campaign among others."""
    run = write_audited(tmp_path_factory.mktemp("evidence") / "run", findings())
    folder = run / "stages" / "sft"
    judged = [("human", "p1"), ("human", "p2"), ("ai", "judge"), (None, None)]
    pairs = [
        Comparison(
            prompt=Prompt.of(f"Question {i}?"),
            chosen="yes",
            rejected="no",
            tie=i == 0,
            provenance=Provenance(source="campaign", feedback=who, annotator=name),
        )
        for i, (who, name) in enumerate(judged)
    ]
    write_records(folder / "train.jsonl", pairs)
    agreement = {"name": "alpha", "value": 0.61, "low": 0.52, "high": 0.7, "n": 90}
    export = {
        "campaign": "helpful",
        "answers": 90,
        "people": 7,
        "items": 30,
        "work": {"kind": "pairwise"},
        "quality": [{"question": "", "agreement": [agreement]}],
        "personal_data": {"texts": 120, "found": {"email": 2}},
        "left_out": {"withdrawn": 3},
    }
    write_json(folder / "export.json", export)
    redo(run, "sft", [])
    redo(run, "ppo", ["sft"])
    redo(run, "audit", ["sft", "ppo"])
    return run


def redo(run: Path, stage: str, upstream: list[str]) -> None:
    """Writes a stage's manifest anew."""
    old = read(run / "stages" / stage)
    files = [Path(path) for path in old.inputs.files]
    made = make_manifest(
        run / "stages" / stage,
        inputs=make_inputs(run, files=files, stages=upstream),
        device=old.device,
        seed=old.seed,
        started=old.started,
        seconds=old.seconds,
    )
    write(run / "stages" / stage, made)


@pytest.fixture(scope="module")
def pack(run: Path) -> Path:
    folder = run.parent / "evidence"
    write_evidence(run, folder)
    return folder


def test_bill_of_materials_keeps_to_its_schema(pack: Path, run: Path):
    text = (pack / "bill.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    wrong = json.dumps(bill | {"serialNumber": "7"})
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(wrong) is not None
    model = bill["metadata"]["component"]
    assert (model["type"], model["name"]) == ("machine-learning-model", "assistant-audit-ppo")
    weights = read(run / "stages" / "ppo").outputs["model/config.json"]
    assert [f["hashes"][0]["content"] for f in model["components"]] == [weights]
    names = {part["name"]: part for part in bill["components"]}
    assert {"example/base-1b", "example/chats", "torch", "python"} <= names.keys()
    assert names["torch"]["version"] == read(run / "stages" / "ppo").versions["torch"]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    (refused,) = [m for m in metrics if m["slice"] == "refusal/harmless requests refused"]
    assert float(refused["value"]) == pytest.approx(22 / 450, rel=1e-5)
    assert float(refused["confidenceInterval"]["lowerBound"]) < 22 / 450


def test_bill_of_another_run_has_another_number(pack: Path, tmp_path: Path):
    write_evidence(write_audited(tmp_path / "run", findings()), tmp_path / "pack")
    numbers = [json.loads((p / "bill.cdx.json").read_text())["serialNumber"] for p in
               (pack, tmp_path / "pack")]  # fmt: skip
    assert numbers[0] != numbers[1]


def test_model_card_is_read_by_the_hub(pack: Path, run: Path):
    card = ModelCard.load(pack / "README.md")
    assert card.data.base_model == ["example/base-1b"]
    assert card.data.datasets == ["example/chats"]
    assert card.data.license == "unknown"
    assert card.data.tags == ["fairlead", "sft", "rl"]
    results = {r.dataset_name: r for r in card.data.eval_results}
    assert len(results) == 15
    refused = results["refusal/harmless requests refused"]
    assert refused.metric_value == pytest.approx(22 / 450, rel=1e-5)
    assert refused.metric_args["verdict"] == "fail"
    assert "**DO NOT SHIP**" in card.text
    assert outputs_digest(read(run / "stages" / "ppo")) in card.text
    front = (pack / "README.md").read_text().split("---\n")[1]
    assert yaml.safe_load(front)["model-index"][0]["name"] == "assistant-audit-ppo"


def test_licence_is_that_of_the_base_where_it_is_declared(tmp_path: Path):
    run = write_audited(tmp_path / "run", findings())
    base = tmp_path / "base"
    write_text(base / "README.md", "---\nlicense: apache-2.0\n---\n# Base\n")
    path = run / "stages" / "sft" / "config.json"
    config = json.loads(path.read_text())
    config["stage"]["model"] = str(base)
    write_json(path, config)
    old = read(run / "stages" / "sft")
    made = make_manifest(
        run / "stages" / "sft",
        inputs=make_inputs(run, files=[base]),
        device="cpu",
        seed=0,
        started=old.started,
        seconds=1.0,
    )
    write(run / "stages" / "sft", made)
    write_evidence(run, tmp_path / "pack")
    data = ModelCard.load(tmp_path / "pack" / "README.md").data
    assert (data.license, data.base_model) == ("apache-2.0", None)


def test_data_is_counted_by_who_judged(run: Path):
    sets = {one.name: one for one in data_sets(run, ancestry(run, "ppo"))}
    assert sets.keys() == {"example/chats", "prompts.jsonl", "stages/sft/train.jsonl"}
    pairs = sets["stages/sft/train.jsonl"]
    assert pairs.kinds == {"Comparison": 4}
    assert pairs.judged == {"human": 2, "ai": 1, "not said": 1}
    assert (pairs.judges, pairs.ties) == (3, 1)
    assert sets["prompts.jsonl"].kinds == {"Prompt": 1}
    assert sets["example/chats"].problem == "not on this machine"


def test_datasheet_has_agreement_and_personal_data(pack: Path):
    text = (pack / "datasheet.md").read_text()
    assert "90 answers by 7 people to 30 items" in text
    assert "agreement on pairwise, alpha: 0.610 [0.520, 0.700]" in text
    assert "email 2" in text and "3 withdrawn" in text
    assert "human 2, ai 1, not said 1" in text


def test_pack_is_whole_and_checks_itself(pack: Path):
    sums = dict(line.split("  ")[::-1] for line in (pack / "SHA256SUMS").read_text().splitlines())
    assert sums.keys() == {p.name for p in pack.iterdir()} - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((pack / name).read_bytes()).hexdigest() == digest
    assert {row[0] for row in ROWS} | {"clauses.md"} == sums.keys()
    assert check(pack / "report.json").problems == ()
    assert "no statement of conformity" in " ".join((pack / "clauses.md").read_text().split())


def test_a_run_without_a_model_has_no_papers(finished_run: Path, tmp_path: Path):
    with pytest.raises(DataError, match="no run made the model"):
        write_evidence(finished_run, tmp_path)


def test_an_unknown_stage_is_named(run: Path):
    with pytest.raises(DataError, match="no stage 'nothing'"):
        ancestry(run, "nothing")


def audited_elsewhere(run: Path, root: Path, candidate: Path) -> Path:
    """A run that only audits a model of another run."""
    audit = write_audited(root / "audit", findings())
    folder = audit / "stages" / "audit"
    config = json.loads((folder / "config.json").read_text())
    config["stage"]["candidate"] = {"kind": "local", "model": str(candidate)}
    write_json(folder / "config.json", config)
    made = make_manifest(
        folder,
        inputs=make_inputs(audit, files=[candidate]),
        device="cpu",
        seed=0,
        started=read(folder).started,
        seconds=1.0,
    )
    write(folder, made)
    return audit


def test_a_model_audited_elsewhere_is_followed_to_its_run(run: Path, tmp_path: Path):
    audit = audited_elsewhere(run, tmp_path, run / "stages" / "ppo" / "model")
    write_evidence(audit, tmp_path / "pack")
    text = (tmp_path / "pack" / "README.md").read_text()
    assert outputs_digest(read(run / "stages" / "ppo")) in text
    assert "human 2, ai 1, not said 1" in (tmp_path / "pack" / "datasheet.md").read_text()


def test_a_model_that_changed_since_has_no_papers(run: Path, tmp_path: Path):
    shutil.copytree(run, tmp_path / "copy")
    model = tmp_path / "copy" / "stages" / "ppo" / "model"
    (model / "config.json").write_text("{}")
    audit = audited_elsewhere(run, tmp_path, model)
    with pytest.raises(DataError, match="not the one that this stage made"):
        write_evidence(audit, tmp_path / "pack")
