from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jitkit.errors import RefusedError, ResourceError
from jitkit.storage.atomic import (
    PACKAGE,
    SUFFIX,
    atomic_write,
    make_folder,
    open_log,
    require_space,
    sweep,
    sync_folder,
    write_file,
)
from jitkit.storage.faults import VARIABLE


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        with atomic_write(path) as file:
            file.write(b"new")
            assert path.read_bytes() == b"old"
        assert reader.read() == b"old", "whoever reads the old file goes on reading it"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_fails_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(error), atomic_write(path) as file:  # noqa: PT012
        file.write(b"half of the n")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_reported_with_sizes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        message = r"file: found file too large \(5 kB needed, .* free\)"
        with pytest.raises(ResourceError, match=message), atomic_write(path, needs=5000) as file:
            file.write(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", ["gone/file", "/proc/file", "a file/file"])
def test_an_unwritable_path_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(ResourceError, match="file: found"), atomic_write(tmp_path / place) as file:
        file.write(b"")


def test_missing_space_is_detected_before_writing(tmp_path: Path) -> None:
    require_space(tmp_path / "file", 1)
    with pytest.raises(ResourceError, match="expected at least 1e"):
        require_space(tmp_path / "file", 10**18)


def test_sweeping_deletes_only_our_temporary_files(tmp_path: Path) -> None:
    mine, yours = tmp_path / f".model.pth.01234567{SUFFIX}", tmp_path / ".notes.tmp"
    mine.touch()
    yours.touch()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [yours]


def test_a_folder_or_link_named_like_a_temporary_stays(tmp_path: Path) -> None:
    (folder := tmp_path / f".model.pth.01234567{SUFFIX}").mkdir()
    (folder / "file").touch()
    (link := tmp_path / f".model.pth.89abcdef{SUFFIX}").symlink_to(folder)
    sweep(tmp_path)
    assert folder.exists()
    assert link.is_symlink()


@pytest.mark.parametrize("reason", ["EINVAL", "ENOTSUP", "EBADF", "EACCES", "ENOSYS"])
def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFS and the shared folders of virtual machines answer so, though the file has its name."""
    monkeypatch.setenv(VARIABLE, f"*:folder-fsync:{reason}")
    write_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_folder_that_cannot_be_listed_can_be_written(tmp_path: Path) -> None:
    (folder := tmp_path / "folder").mkdir(mode=0o300)
    write_file(folder / "file", b"new")
    sync_folder(folder)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/null")])
def test_only_a_regular_file_is_replaced(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(path := tmp_path / "file")
    for write in (lambda: write_file(path, b"new"), lambda: open_log(path)):
        with pytest.raises(ResourceError, match=r"found a (named pipe|folder|device); expected a regular file"):
            write()
    assert not path.is_file()
    assert list(tmp_path.iterdir()) == [path]


def test_long_names_are_written(tmp_path: Path) -> None:
    write_file(tmp_path / ("x" * 255), b"new")
    with pytest.raises(ResourceError, match="file name too long"):
        write_file(tmp_path / ("x" * 256), b"new")
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_is_written_into_the_package() -> None:
    for path in (PACKAGE / "file", PACKAGE / "_zoo" / "weights" / "report.html"):
        with pytest.raises(RefusedError, match="inside the installed package"):
            write_file(path, b"")
        with pytest.raises(RefusedError, match="inside the installed package"):
            make_folder(path)
        assert not path.exists()


SIZE = 4096 * 1024
WRITER = """
import sys
from collections.abc import Callable
from pathlib import Path
from jitkit.storage.atomic import atomic_write
print(flush=True)
for round in range(10**9):
    with atomic_write(Path(sys.argv[1])) as file:
        for _ in range(1024):
            file.write(bytes([round % 256]) * 4096)
"""


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [0, 1, 3, 7, 20, 50])
def test_a_kill_at_any_time_leaves_a_complete_file(tmp_path: Path, milliseconds: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff" * SIZE)
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        signal.sigtimedwait([], milliseconds / 1000)
        os.kill(process.pid, signal.SIGKILL)
    content = path.read_bytes()
    assert len(content) == SIZE
    assert len(set(content)) == 1
