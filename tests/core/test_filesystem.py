"""Paths that are not what they should be: each is one line, and none blocks."""

from __future__ import annotations

import ast
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jitkit import filesystem
from jitkit.errors import InputError, ManifestError

TOO_LONG = "x" * 300


@pytest.fixture
def special(tmp_path: Path) -> dict[str, Path]:
    """One path of each kind that is not a regular file."""
    paths = {name: tmp_path / name for name in ("folder", "pipe", "socket", "loop", "link to a pipe")}
    paths["folder"].mkdir()
    os.mkfifo(paths["pipe"])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(paths["socket"]))
    paths["loop"].symlink_to(paths["loop"])
    paths["link to a pipe"].symlink_to(paths["pipe"])
    return paths | {"device": Path("/dev/zero"), "missing": tmp_path / "missing", "long": tmp_path / TOO_LONG}


def test_what_is_no_regular_file_is_never_opened(special: dict[str, Path]) -> None:
    found = {}
    for name, path in special.items():
        with pytest.raises(InputError) as caught:
            filesystem.read_bytes(path)
        found[name] = caught.value.problems[0].found
    assert found == {
        "folder": "a folder",
        "pipe": "a named pipe",
        "socket": "a socket",
        "loop": "too many levels of symbolic links",
        "link to a pipe": "a named pipe",
        "device": "a device",
        "missing": "no such file or directory",
        "long": "file name too long",
    }


@pytest.mark.parametrize("question", ["exists", "is_file", "is_folder", "is_special", "real_path"])
@pytest.mark.parametrize("kind", ["loop", "long"])
def test_a_question_that_has_no_answer_is_one_line(special: dict[str, Path], question: str, kind: str) -> None:
    with pytest.raises(ManifestError, match=r"found (too many levels of symbolic links|file name too long)"):
        getattr(filesystem, question)(special[kind], error=ManifestError)
    with pytest.raises(InputError, match="null"):
        getattr(filesystem, question)("a\0b")
    with pytest.raises(InputError, match="surrogates"):
        getattr(filesystem, question)("\ud800")


def test_a_folder_without_permission_is_one_line(tmp_path: Path) -> None:
    (closed := tmp_path / "closed").mkdir(mode=0)
    with as_nobody():
        for question in (filesystem.exists, filesystem.is_file, filesystem.read_bytes):
            with pytest.raises(InputError, match="permission denied"):
                question(closed / "file")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up the rights of root, who may look into every folder, during the block."""
    if os.getuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_answers(special: dict[str, Path], tmp_path: Path) -> None:
    (file := tmp_path / "file").write_bytes(b"12345")
    assert filesystem.exists(file)
    assert filesystem.is_file(file)
    assert not filesystem.is_special(file)
    assert not filesystem.exists(file / "below")
    assert not filesystem.is_file(special["pipe"])
    assert filesystem.is_special(special["pipe"])
    assert filesystem.is_folder(special["folder"])
    assert filesystem.size_of(file) == 5
    assert filesystem.read_bytes(file, limit=5) == b"12345"
    with pytest.raises(InputError, match="more than 4 bytes"):
        filesystem.read_bytes(file, limit=4)


def test_only_open_pipes_are_streams(special: dict[str, Path]) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"text")
    os.close(writing)
    assert filesystem.read_stream(f"/dev/fd/{reading}", limit=4) == b"text"
    os.close(reading)
    for path in (special["pipe"], special["device"], "/dev/fd/999", "/dev/fd"):
        with pytest.raises(InputError):
            filesystem.read_stream(path, limit=4)


def test_loops_of_links_end_a_search(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.txt").touch()
        (tmp_path / name / ".hidden").mkdir()
        for number in range(6):
            (tmp_path / name / f"up{number}").symlink_to(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in filesystem.glob("**/*.txt", tmp_path)]
    assert names == ["a/text.txt", "b/text.txt"]
    assert filesystem.glob("**/**/up0/**/nothing", tmp_path) == []
    assert filesystem.glob(f"{tmp_path}/?/text.txt", Path()) == [tmp_path / name / "text.txt" for name in "ab"]
    assert len(list(filesystem.folders_below(tmp_path))) == 3


def test_a_mistyped_path_is_corrected_by_a_name_in_its_folder(tmp_path):
    folder = tmp_path / "{0}"
    folder.mkdir()
    (folder / "novel.txt").touch()
    assert filesystem.similar_path(folder / "novl.txt") == f"Did you mean {folder / 'novel.txt'}?"
    assert filesystem.similar_path(folder / "novel.txt") == "", "it exists"
    assert (
        filesystem.similar_path(folder / "other") == filesystem.similar_path(tmp_path / "nowhere" / "novel.txt") == ""
    )
    assert filesystem.similar_path("\0") == ""


def test_names_that_are_no_text_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"nov\xff.txt")
    (tmp_path / name).write_bytes(b"text")
    assert filesystem.entries(tmp_path) == filesystem.glob("*.txt", tmp_path) == [tmp_path / name]
    with pytest.raises(InputError, match=r"nov\\udcff.txt: found more than 3 bytes"):
        filesystem.read_bytes(tmp_path / name, limit=3)


ROOT = Path(__file__).parents[2]
QUESTIONS = {
    *("exists", "is_file", "is_dir", "is_fifo", "is_symlink", "isfile", "isdir", "lexists", "access", "stat", "lstat"),
    *("read_bytes", "read_text", "open", "glob", "iglob", "rglob", "iterdir", "listdir", "scandir", "walk"),
    *("resolve", "realpath", "expanduser", "home", "samefile", "readlink"),
}
ALLOWED = {
    "jitkit/filesystem.py": QUESTIONS,
    "jitkit/storage/atomic.py": {"stat", "is_symlink", "realpath", "open", "resolve"},  # looks at what a write replaces
    "jitkit/storage/atomic_folder.py": {"is_symlink"},  # of what it deletes
    "jitkit/storage/png.py": {"open"},  # Pillow's, for bytes in memory
    "jitkit/data/archives.py": {"is_dir", "open"},  # of members, inside an open archive
    "jitkit/testing/conformance/codec.py": {"open"},  # the same
    "jitkit/report/page.py": {"read_text"},  # a resource of the package
    "jitkit/output.py": {"open"},  # /dev/null
    "plugins/jitkit_plugins/metrics/mauve.py": {"open"},  # /dev/null
}


def questions_in(path: Path) -> set[str]:
    """Return the calls in a file that ask the system about paths or open files."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    attributes = {call.attr for call in calls if isinstance(call, ast.Attribute)}
    return QUESTIONS & (attributes | {call.id for call in calls if isinstance(call, ast.Name) and call.id == "open"})


def test_only_one_module_asks_about_paths() -> None:
    files = [path for folder in ("jitkit", "plugins") for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix(): questions_in(path) for path in files}
    others = {path: asked - ALLOWED.get(path, set()) for path, asked in found.items()}
    assert not {path: names for path, names in others.items() if names}, "use jitkit.filesystem"
    unused = {path: allowed - found.get(path, set()) for path, allowed in ALLOWED.items() if allowed is not QUESTIONS}
    assert not {path: allowed for path, allowed in unused.items() if allowed}, "leftovers"
