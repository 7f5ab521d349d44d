import shutil
from pathlib import Path

import pytest

from fairlead.core.errors import DataError
from fairlead.core.files import read_json, write_json
from fairlead.lineage import Problem, outputs_digest, read, verify, write


def _problems(run: Path) -> set[tuple[str, str, str]]:
    return {(p.stage, p.file, p.what) for p in verify(run).problems}


def test_untouched_run_passes(small_run: Path):
    found = verify(small_run)
    assert found.ok
    assert (found.stages, found.files) == (2, 2 + 3 + 3)
    assert str(found) == f"{small_run}: 2 stages, 8 files: every hash matches"


def test_moved_run_passes(small_run: Path):
    moved = small_run.parent / "elsewhere"
    shutil.move(small_run, moved)
    assert verify(moved).ok


def test_every_flipped_byte_is_found(small_run: Path):
    stages = small_run / "stages"
    outputs = [p for p in stages.rglob("*") if p.is_file() and p.name != "manifest.json"]
    inputs = [
        small_run / "notes.txt",
        small_run.parent / "feedback.jsonl",
        small_run.parent / "base" / "nested" / "weights.bin",
    ]
    assert len(outputs) == 5
    for path in (*outputs, *inputs):
        content = path.read_bytes()
        for position in range(len(content)):
            flipped = bytearray(content)
            flipped[position] ^= 1 << (position % 8)
            path.write_bytes(bytes(flipped))
            assert not verify(small_run).ok, (path, position)
        path.write_bytes(content)
    assert verify(small_run).ok


def test_changed_output_shows_both_hashes(small_run: Path):
    weights = small_run / "stages" / "train" / "model" / "weights.bin"
    weights.write_text("abd")
    assert verify(small_run).problems == (
        Problem(
            stage="train",
            file="model/weights.bin",
            what="output has changed",
            expected="ba7816bf8f01",  # the published SHA-256 test vector of "abc"
            got="a52d159f262b",
        ),
    )


def test_missing_manifest_is_an_unfinished_stage(small_run: Path):
    (small_run / "stages" / "train" / "manifest.json").unlink()
    what = "the stage is not complete: it has no manifest"
    assert _problems(small_run) == {("train", "manifest.json", what)}


def test_missing_upstream_manifest_also_breaks_the_downstream(small_run: Path):
    (small_run / "stages" / "read" / "manifest.json").unlink()
    what = "upstream outputs are not those that this stage read"
    assert ("train", "read", what) in _problems(small_run)


def test_deleted_output_is_found(small_run: Path):
    (small_run / "stages" / "read" / "records.jsonl").unlink()
    assert _problems(small_run) == {("read", "records.jsonl", "output is missing")}


def test_deleted_stage_is_found(small_run: Path):
    shutil.rmtree(small_run / "stages" / "train")
    what = "the stage is not complete: it has no manifest"
    assert _problems(small_run) == {("train", "manifest.json", what)}


@pytest.mark.parametrize("name", ["extra.txt", "model/.hidden", "model/deep/extra.bin"])
def test_extra_file_is_found(small_run: Path, name: str):
    extra = small_run / "stages" / "train" / name
    extra.parent.mkdir(exist_ok=True)
    extra.write_text("")
    assert _problems(small_run) == {("train", name, "extra file that the stage did not write")}


def test_linked_folder_is_an_extra_file(small_run: Path):
    (small_run / "stages" / "train" / "linked").symlink_to(small_run.parent / "base")
    what = "extra file that the stage did not write"
    assert _problems(small_run) == {("train", "linked", what)}


def test_deleted_input_is_found(small_run: Path):
    (small_run.parent / "feedback.jsonl").unlink()
    (problem,) = verify(small_run).problems
    assert problem.what == "cannot read the input: No such file or directory"


def test_extra_file_in_an_input_folder_is_found(small_run: Path):
    (small_run.parent / "base" / "extra").write_text("")
    assert _problems(small_run) == {("read", str(small_run.parent / "base"), "input has changed")}


def test_rerun_upstream_that_nobody_read_is_found(small_run: Path):
    folder = small_run / "stages" / "read"
    manifest = read(folder)
    (folder / "records.jsonl").write_text("{}\n")
    outputs = {**manifest.outputs, "records.jsonl": "ca3d163bab05" + "0" * 52}
    changed = manifest.model_copy(update={"outputs": outputs})
    write(folder, changed)
    (upstream,) = [p for p in verify(small_run).problems if p.stage == "train"]
    assert upstream.file == "read"
    assert upstream.expected == outputs_digest(manifest)[:12]
    assert upstream.got == outputs_digest(changed)[:12]


def test_manifest_with_foreign_key_is_found(small_run: Path):
    folder = small_run / "stages" / "train"
    write(folder, read(folder).model_copy(update={"key": "0" * 64}))
    what = "settings and inputs do not give the recorded key"
    assert _problems(small_run) == {("train", "config.json", what)}


def test_edited_manifest_is_found(small_run: Path):
    path = small_run / "stages" / "train" / "manifest.json"
    path.write_text(path.read_text().replace('"device": "cpu"', '"device": "gpu"'))
    what = "the manifest was changed after it was written"
    assert _problems(small_run) == {("train", "manifest.json", what)}


def test_unlisted_stage_is_found(small_run: Path):
    run = read_json(small_run / "run.json")
    write_json(small_run / "run.json", {**run, "stages": run["stages"][1:]})
    assert _problems(small_run) == {("read", "run.json", "the stage is not listed")}


def test_unfinished_run_is_found(small_run: Path):
    run = read_json(small_run / "run.json")
    run["stages"][1]["status"] = "failed"
    write_json(small_run / "run.json", {**run, "finished": None})
    assert _problems(small_run) == {
        ("", "run.json", "the run did not finish"),
        ("train", "run.json", "the stage is failed"),
    }


def test_run_without_stages_does_not_pass(small_run: Path):
    shutil.rmtree(small_run / "stages")
    run = read_json(small_run / "run.json")
    write_json(small_run / "run.json", {**run, "stages": []})
    assert _problems(small_run) == {("", "run.json", "the run has no stages")}


def test_folder_without_run_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="file not found"):
        verify(tmp_path)
