from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead import __version__
from fairlead.core.errors import DataError
from fairlead.core.files import sha256_file, write_text
from fairlead.lineage import (
    Inputs,
    code_version,
    library_versions,
    make_inputs,
    make_manifest,
    outputs_digest,
    read,
    stage_key,
    write,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
SETTINGS = st.dictionaries(st.text(max_size=5), st.integers() | st.booleans() | st.text(max_size=5))


def test_manifest_survives_the_disk(small_run: Path):
    folder = small_run / "stages" / "train"
    manifest = read(folder)
    write(folder, manifest)
    assert read(folder) == manifest
    assert sorted(manifest.outputs) == ["config.json", "model/weights.bin", "result.json"]
    weights = folder / "model" / "weights.bin"
    assert manifest.outputs["model/weights.bin"] == sha256_file(weights)


def test_inputs_inside_the_run_are_relative_and_others_absolute(small_run: Path):
    root = small_run.parent
    expected = ["notes.txt", str(root / "base"), str(root / "feedback.jsonl")]
    assert sorted(read(small_run / "stages" / "read").inputs.files) == sorted(expected)


def test_downstream_records_the_upstream_outputs(small_run: Path):
    upstream = read(small_run / "stages" / "read")
    downstream = read(small_run / "stages" / "train")
    assert downstream.inputs.stages == {"read": outputs_digest(upstream)}


def test_outputs_digest_ignores_when_and_how_long(small_run: Path):
    manifest = read(small_run / "stages" / "read")
    later = manifest.model_copy(update={"started": START, "seconds": 99.0})
    assert outputs_digest(later) == outputs_digest(manifest)
    other = manifest.model_copy(update={"outputs": {"x": "0" * 64}})
    assert outputs_digest(other) != outputs_digest(manifest)


@given(SETTINGS, SETTINGS)
def test_keys_are_equal_exactly_where_settings_are(one: dict, two: dict):
    equal = repr(sorted(one.items())) == repr(sorted(two.items()))
    assert (stage_key(one, Inputs()) == stage_key(two, Inputs())) == equal


def test_key_depends_on_inputs_and_is_that_of_the_written_manifest(small_run: Path):
    manifest = read(small_run / "stages" / "read")
    assert stage_key({"limit": 3, "kind": "read"}, manifest.inputs) == manifest.key
    assert stage_key({"limit": 3, "kind": "read"}, Inputs()) != manifest.key


def test_missing_input_names_the_path(tmp_path: Path):
    with pytest.raises(DataError, match="cannot read the input") as caught:
        make_inputs(tmp_path, files=[tmp_path / "absent.jsonl"])
    assert caught.value.where == str(tmp_path / "absent.jsonl")


def test_unfinished_upstream_is_refused(small_run: Path):
    (small_run / "stages" / "read" / "manifest.json").unlink()
    with pytest.raises(DataError, match="no manifest"):
        make_inputs(small_run, stages=["read"])


def test_stage_without_settings_is_refused(tmp_path: Path):
    write_text(tmp_path / "records.jsonl", "")
    with pytest.raises(DataError, match="file not found"):
        make_manifest(tmp_path, inputs=Inputs(), device="cpu", seed=1, started=START, seconds=0)


def test_edited_manifest_is_refused(small_run: Path):
    path = small_run / "stages" / "read" / "manifest.json"
    path.write_text(path.read_text().replace('"seed": 7', '"seed": 8'))
    with pytest.raises(DataError, match="changed after it was written"):
        read(path.parent)


def test_code_and_libraries_are_named():
    assert code_version().version == __version__
    assert sorted(library_versions()) == sorted(
        ["python", "torch", "transformers", "accelerate", "peft", "datasets", "numpy"]
    )
