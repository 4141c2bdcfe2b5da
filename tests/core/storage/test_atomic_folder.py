"""A folder has all new files or none, whenever the process dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jitkit.errors import RefusedError, ResourceError, UsageError
from jitkit.storage import faults
from jitkit.storage.atomic import SUFFIX, write_file
from jitkit.storage.atomic_folder import atomic_folder, undo_unfinished
from jitkit.storage.faults import VARIABLE

OLD = {"model": "old", "manifest": "old", "vocabulary/old": "old"}
NEW = {"model": "new", "manifest": "new", "vocabulary/new": "new"}
OTHER = {"notes": "mine"}
WRITER = """
import json, sys
from pathlib import Path
from jitkit.storage.atomic import write_file
from jitkit.storage.atomic_folder import atomic_folder
files, replaces = map(json.loads, sys.argv[2:])
with atomic_folder(Path(sys.argv[1]), last="manifest", replaces=replaces) as new:
    for name, content in files.items():
        (new / name).parent.mkdir(exist_ok=True)
        write_file(new / name, content.encode())
"""
POINTS = [
    *(f"{name}:{stage}:{number}" for name in ("model", "manifest") for stage in ("create", "write") for number in (1,)),
    *(f"moves.json:{stage}:1" for stage in ("create", "write", "before-replace", "after-replace", "delete")),
    *(
        f"{name}:{stage}:{number}"
        for name in NEW
        for stage in ("before-replace", "after-replace")
        for number in (1, 2, 3)
    ),
    "folder:folder-fsync:1",
]


def write(folder: Path, files: dict[str, str], replaces: list[str]) -> None:
    with atomic_folder(folder, last="manifest", replaces=replaces) as new:
        for name, content in files.items():
            (new / name).parent.mkdir(exist_ok=True)
            write_file(new / name, content.encode())


def content(folder: Path) -> dict[str, str]:
    """Return the files of a folder, without temporary ones."""
    paths = [path for path in folder.rglob("*") if path.is_file() and SUFFIX not in str(path)]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def test_an_earlier_version_is_replaced_and_other_files_stay(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    write(folder, OLD, [])
    write_file(folder / "notes", b"mine")
    write(folder, NEW, list(OLD))
    assert content(folder) == NEW | OTHER
    assert not list(folder.rglob(f"*{SUFFIX}"))


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_anywhere_is_undone(tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "folder", OLD, [])
    write_file(tmp_path / "folder" / "notes", b"mine")
    command = [sys.executable, "-c", WRITER, str(tmp_path / "folder"), json.dumps(NEW), json.dumps(list(OLD))]
    monkeypatch.setenv(VARIABLE, point.replace("vocabulary/", ""))
    assert subprocess.run(command, check=False).returncode in (-signal.SIGKILL, 0)  # not every file has every point
    monkeypatch.delenv(VARIABLE)
    seen = content(tmp_path / "folder")
    assert seen in (OLD | OTHER, NEW | OTHER) or "manifest" not in seen, "a reader never takes a mixture for complete"
    undo_unfinished(tmp_path / "folder")
    assert content(tmp_path / "folder") in (OLD | OTHER, NEW | OTHER)
    assert not list((tmp_path / "folder").rglob(f"*{SUFFIX}"))
    write(tmp_path / "folder", NEW, [*OLD, *NEW])
    assert content(tmp_path / "folder") == NEW | OTHER


@pytest.mark.parametrize("reason", ["ENOSPC", "EIO"])
@pytest.mark.parametrize(
    "point", ["model:write", "moves.json:write", "model:after-replace:2", "manifest:before-replace:2"]
)
def test_a_failure_anywhere_is_undone(tmp_path: Path, point: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "folder", OLD, [])
    for folder, before in (("folder", OLD), ("new", None)):
        monkeypatch.setattr(faults, "_reached", {})
        monkeypatch.setenv(VARIABLE, f"{point}:{reason}")
        with pytest.raises(ResourceError):
            write(tmp_path / folder, NEW, list(OLD))
        monkeypatch.delenv(VARIABLE)
        assert (content(tmp_path / folder) if (tmp_path / folder).exists() else None) == before


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    write_file(tmp_path / "model", b"mine")
    with pytest.raises(UsageError, match="a file 'model'"):
        write(tmp_path, NEW, [])
    assert content(tmp_path) == {"model": "mine"}


def test_two_processes_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with atomic_folder(tmp_path, last="manifest") as new:
        write_file(new / "manifest", b"1")
        with pytest.raises(ResourceError, match="another process"):
            write(tmp_path, NEW, [])
    assert content(tmp_path) == {"manifest": "1"}


def test_a_record_in_a_foreign_folder_cannot_delete_outside_of_it(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    planted = tmp_path / "folder" / f".folder.01234567{SUFFIX}"
    (planted / "new").mkdir(parents=True)
    (planted / "moves.json").write_text('["../mine"]')
    with pytest.raises(RefusedError, match=r"\.\./mine"):
        undo_unfinished(tmp_path / "folder")
    assert (tmp_path / "mine").exists()
