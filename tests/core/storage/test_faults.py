"""Faults happen exactly at the point in JITKIT_FAULT, and a typo is an error."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jitkit.errors import ResourceError, UsageError
from jitkit.storage.atomic import SUFFIX, atomic_write, delete, sweep, write_file
from jitkit.storage.faults import STAGES, VARIABLE

WRITER = """
import sys
from pathlib import Path
from jitkit.storage.atomic import delete, write_file
write_file(Path(sys.argv[1]), b"new" * 10000)
delete(Path(sys.argv[1]))
"""
REPLACED = {"after-replace", "folder-fsync", "delete"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_at_any_stage_leaves_the_old_or_the_new_file(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setenv(VARIABLE, f"file:{stage}")
    done = subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == (b"new" * 10000 if stage in REPLACED else b"old")
    left = [other.stat().st_size for other in tmp_path.iterdir() if other != path]
    assert left == ([] if stage in REPLACED | {"create"} else [15000 if stage == "write" else 30000])
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("reason", ["ENOSPC", "EIO", "EDQUOT", "EROFS"])
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "delete"])
def test_a_failure_at_any_stage_is_one_line_and_leaves_no_temporary(
    tmp_path: Path, stage: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setenv(VARIABLE, f"*:{stage}:{reason}")
    with pytest.raises(ResourceError, match="file: found") as caught:
        write_file(path, b"new")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == (b"new" if stage in REPLACED else b"old")
    assert list(tmp_path.iterdir()) == [path]


def test_a_number_chooses_one_of_several_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "file:after-fsync:2:EIO")
    write_file(tmp_path / "file", b"1")
    write_file(tmp_path / "other", b"1")
    with pytest.raises(ResourceError):
        write_file(tmp_path / "file", b"2")
    write_file(tmp_path / "file", b"3")
    assert (tmp_path / "file").read_bytes() == b"3"


def test_deletions_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, "f*:delete:EIO")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is the point
        delete(tmp_path / "file")
    assert caught.value.errno == errno.EIO
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize(
    "setting", ["", "file", "file:wriite", "file:write:ENOSPACE", "file:write:0", ":write", "a:write:b"]
)
def test_a_typo_is_an_error(tmp_path: Path, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, setting)
    with (
        pytest.raises(UsageError, match=r"JITKIT_FAULT: found '.*'; expected FILE:STAGE"),
        atomic_write(tmp_path / "f"),
    ):
        pass
    assert not list(tmp_path.glob(f"*{SUFFIX}"))


def test_other_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "a file: with colons:write:EIO")
    write_file(tmp_path / "file", b"new")
    with pytest.raises(ResourceError):
        write_file(tmp_path / "a file: with colons", b"new")
