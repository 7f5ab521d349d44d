"""Faults in what is asked for: found before anything runs or is written."""

import shutil
from pathlib import Path

import pytest
import yaml

from tiny_runs import fails, hashes, write_recipe


@pytest.fixture(scope="module")
def recipe(finished: Path) -> Path:
    return finished / "tiny.yaml"


@pytest.fixture
def refused(recipe: Path, run: Path):
    """Runs with overrides that must fail over a finished run, which must stay as it is."""
    before = hashes(run)

    def refused(*arguments, path: Path = recipe) -> str:
        text = fails("run", path, *arguments, "--out", run)
        assert "remedy: " in text
        assert hashes(run) == before
        return text

    return refused


def changed(recipe: Path, folder: Path, change) -> Path:
    value = yaml.safe_load(recipe.read_text())
    change(value)
    path = folder / "changed.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


@pytest.mark.parametrize("override", ["model.pth=x", "lenght=3", "sfd.max_length=3", "stages=3"])
def test_override_of_an_unknown_key(refused, override: str):
    text = refused(override)
    assert f"the recipe has no key '{override.partition('=')[0]}'" in text
    assert "under one of: data, length, model, data, sft, dpo, seed, name" in text


def test_override_of_an_unknown_setting_of_a_stage(refused):
    text = refused("sft.train.learning_rat=3")
    assert "stages.1.sft.train.learning_rat: Extra inputs are not permitted" in text


def test_unknown_key_in_a_stage(refused, recipe: Path, tmp_path: Path):
    path = changed(recipe, tmp_path, lambda value: value["stages"][2].update(betta=1))
    assert "stages.2.preference.betta: Extra inputs are not permitted" in refused(path=path)


def test_unknown_kind_of_stage(refused, recipe: Path, tmp_path: Path):
    path = changed(recipe, tmp_path, lambda value: value["stages"][2].update(kind="dop"))
    assert "'dop'" in refused(path=path)


def test_unknown_key_at_the_top(refused, recipe: Path, tmp_path: Path):
    path = changed(recipe, tmp_path, lambda value: value.update(sede=1))
    assert "sede: Extra inputs are not permitted" in refused(path=path)


def test_every_fault_is_named(refused):
    text = refused("sft.train.epoch=1", "dpo.objective.beta=-1")
    assert "2 fault(s)" in text and "sft.train.epoch:" in text
    assert "preference.objective.dpo.beta:" in text


def test_stage_that_refers_to_a_later_one(refused):
    text = refused("sft.model=@dpo")
    assert "stage 'sft' refers to @dpo, which is no earlier stage (earlier: data)" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"stages: [", "the recipe is not YAML"),
        (b"\xff\xfe\x00", "the recipe is not YAML"),
        (b"- a\n- b\n", "the recipe is not a mapping"),
        (b"name: x\nlet: 3\nstages: []\n", "the `let` section is not a mapping"),
        (b"name: x\nstages: 3\n", "stages: Input should be a valid tuple"),
        (b"name: x\nstages: [3]\n", "stages.0"),
        (b"", "the recipe is not a mapping"),
    ],
)
def test_file_that_is_no_recipe(refused, tmp_path: Path, content: bytes, message: str):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    assert message in refused(path=path)


def test_missing_recipe(refused, tmp_path: Path):
    assert f"no such recipe where: {tmp_path / 'absent.yaml'}" in refused(
        path=tmp_path / "absent.yaml"
    )
    assert "the recipe cannot be read" in refused(path=tmp_path)


def test_let_that_is_not_defined(refused):
    assert "${modle.path} refers to nothing" in refused("sft.model=${modle.path}")


def test_path_that_is_not_given(refused):
    assert "data.path is not set" in refused("data.path=null")
    assert "add model.path=PATH" in refused("model.path=null")


def test_missing_data_file(refused, tmp_path: Path):
    text = refused(f"data.path={tmp_path / 'absent.jsonl'}")
    assert "no such file or folder" in text
    assert f"stage data, path: {tmp_path / 'absent.jsonl'}" in text


def test_missing_model_folder(refused, tmp_path: Path):
    text = refused(f"model.path={tmp_path / 'absent'}")
    assert f"stage sft, model: {tmp_path / 'absent'}" in text


def test_package_that_is_not_installed(refused):
    assert "the Python package no_such is not installed" in refused(
        "model.path=package:no_such/model"
    )


def test_folder_of_another_recipe(refused):
    text = refused("name=other")
    assert "this folder holds a run of another recipe" in text
    assert "expected: other got: tiny" in text


def test_run_without_its_data(recipe: Path, tmp_path: Path):
    """The data that a finished run was made from is gone: what was made from it stays."""
    shutil.copytree(recipe.parent, tmp_path / "moved")
    (tmp_path / "moved" / "pairs.jsonl").unlink()
    path = write_recipe(tmp_path / "moved")
    before = hashes(tmp_path / "moved" / "run")
    assert "no such file or folder" in fails("run", path, "--out", tmp_path / "moved" / "run")
    assert hashes(tmp_path / "moved" / "run") == before
