"""`jitkit checkpoint`: a folder becomes a file and back without a change, and whatever is damaged is named."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from jitkit.checkpoints.format import Checkpoint, load_checkpoint
from tests.core.checkpoints.test_format import equal
from tests.core.cli.conftest import run


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    done = run("checkpoint", "unpack", checkpoint, tmp_path / "folder")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'folder'}: step 2, epoch ")
    return tmp_path / "folder"


def assert_same(one: Path, other: Path) -> None:
    first, second = load_checkpoint(one), load_checkpoint(other)
    for field in fields(Checkpoint):
        assert equal(getattr(first, field.name), getattr(second, field.name)), field.name


def test_a_file_becomes_a_folder_and_a_file_again(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    assert_same(folder, checkpoint)
    assert sorted(path.name for path in folder.iterdir()) == [
        "index.json",
        "rest.safetensors",
        "shard-00000.safetensors",
    ]
    done = run("checkpoint", "pack", folder, tmp_path / "again.pth", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["schema"], document["step"]) == ("jitkit.checkpoint-pack/1", 2)
    assert_same(tmp_path / "again.pth", checkpoint)


@pytest.mark.slow
def test_a_folder_is_evaluated_like_the_file_it_becomes(folder: Path, tmp_path: Path) -> None:
    assert run("checkpoint", "pack", folder, tmp_path / "packed.pth").returncode == 0
    reports = []
    for model in (folder, tmp_path / "packed.pth"):
        done = run("eval", model, "--quick", "--json", "--out", tmp_path / f"{model.stem}-report", "--device", "cpu")
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        reports.append({name: report[name] for name in (*report["about"], "step", "epoch", "num_windows")})
    assert reports[0] == reports[1]
    assert len(reports[0]) > 3


def test_a_text_can_be_generated_from_a_folder(folder: Path, checkpoint: Path) -> None:
    texts = [run("generate", model, "--seed", 3, "--device", "cpu").stdout for model in (folder, checkpoint)]
    assert texts[0] == texts[1] != ""


def test_an_existing_path_is_not_replaced(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(b"mine")
    done = run("checkpoint", "pack", folder, tmp_path / "mine.pth")
    assert (done.returncode, (tmp_path / "mine.pth").read_bytes()) == (2, b"mine")
    assert done.stderr.endswith("found an existing file; expected a new name, or --overwrite.\n")
    done = run("checkpoint", "unpack", checkpoint, folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "found an existing path; expected a new name." in done.stderr
    assert run("checkpoint", "pack", folder, tmp_path / "mine.pth", "--overwrite").returncode == 0
    assert_same(tmp_path / "mine.pth", checkpoint)


def test_a_file_is_not_a_folder(checkpoint: Path, tmp_path: Path) -> None:
    done = run("checkpoint", "pack", checkpoint, tmp_path / "new.pth")
    assert done.returncode == 4
    assert "FOLDER: found no checkpoint folder; expected one with an index.json." in done.stderr


def test_a_disk_that_is_full_leaves_nothing(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    for words in (("unpack", checkpoint, tmp_path / "new"), ("pack", folder, tmp_path / "new.pth")):
        done = run("checkpoint", *words, JITKIT_FAULT="*:write:ENOSPC")
        assert (done.returncode, done.stderr.count("\n")) == (6, 1), done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_checks_say_what_is_wrong(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    done = run("checkpoint", "check", folder, checkpoint)
    assert done.returncode == 0, done.stderr
    assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == ["ok", "ok"]
    document = json.loads(run("checkpoint", "check", folder, checkpoint, "--json").stdout)
    assert document["schema"] == "jitkit.checkpoint-check/1"
    assert [row["path"] for row in document["checkpoints"]] == [str(folder), str(checkpoint)]
    (tmp_path / "cut.pth").write_bytes(checkpoint.read_bytes()[:-50])
    (folder / "index.json").unlink()
    done = run("checkpoint", "check", folder, checkpoint, tmp_path / "cut.pth")
    assert done.returncode == 4
    assert done.stdout.startswith(str(checkpoint))
    assert f"jitkit: error: {folder}: found no index.json" in done.stderr
    assert f"jitkit: error: {tmp_path / 'cut.pth'}: found a truncated archive" in done.stderr
    done = run("checkpoint", "check", folder, "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"], error["file"]) == (4, 4, str(folder))


def test_a_run_folder_has_all_its_checkpoints_checked(tmp_path: Path) -> None:
    done = run("checkpoint", "check", tmp_path)
    assert done.returncode == 4
    assert "found a folder without a checkpoint; expected a checkpoint or a run folder." in done.stderr
