"""Files that are not what they should be: pipes, devices, links, long names, closed folders, names that are no text."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jitkit import cli
from jitkit.storage.faults import VARIABLE
from jitkit.zoo.index import builtin_folder
from tests.core.cli.conftest import ENVIRONMENT, JITKIT
from tests.core.cli.conftest import run as run_command
from tests.tiny import tiny_toml

NOBODY = 65534
Jitkit = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.timeout(120)  # a pipe that blocks would wait for ever


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, a manifest, and an album."""
    place = tmp_path_factory.mktemp("place")
    (place / "novel.txt").write_text("It was a dark and stormy night.\n" * 3)
    (place / "tiny.toml").write_text(tiny_toml())
    assert run_command("encode", place / "novel.txt", "-m", place / "tiny.toml", "-o", place / "album").returncode == 0
    return place


@pytest.fixture
def jitkit(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, place: Path) -> Jitkit:
    """A function that runs a command in this process, in a copy of the folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)

    def run(command: str, *more: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["jitkit", *shlex.split(command), *map(str, more)])
        capfd.readouterr()
        code = cli._run()
        return code, *capfd.readouterr()

    return run


def assert_one_line(done: tuple[int, str, str], code: int, *words: str) -> None:
    """Check that a command failed with `code` and one line that has all `words`."""
    assert done[0] == code, done
    assert done[2].count("\n") == 1, done
    assert done[2].startswith("jitkit: error: ")
    for word in words:
        assert word in done[2], done


SPECIAL = ("pipe", "socket", "zero", "loop", "x" * 300)
READERS = {  # command -> exit code
    "encode {} -m tiny.toml -o new": 4,
    "encode novel.txt -m {} -o new": 3,
    "decode {} -m tiny.toml -o new": 4,
    "decode broken -m tiny.toml -o new": 4,
    "zoo check {}": 3,
    "zoo show {}": 3,
    "ablate {}": 3,
    "data prepare tiny.toml --data {}": 4,
    "tokenizer train {} --vocab-size 300 -o new": 4,
    "tokenizer inspect {}.tiktoken": 4,
    "codec inspect table --set codec.file={} --vocab-size 258 --image-size 16": 4,
    "generate {}": 4,
    "zoo check exported/manifest.toml": 3,
    "generate jit-nano --image new --font {}": 4,
    "eval --checkpoint {}": 4,
    "export {} -o new": 4,
    "checkpoint pack {} new": 4,
    "checkpoint unpack {} new": 4,
    "checkpoint check {}": 4,
    "checkpoint check broken": 4,
    "frontier {} --out new": 4,
    "compare {} album": 4,
    "train tiny.toml --data novel.txt --out run --resume {}": 4,
}


def make_special(folder: Path, ending: str = "") -> None:
    """Make a path of each kind in `SPECIAL`."""
    os.mkfifo(folder / f"pipe{ending}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / f"socket{ending}"))
    (folder / f"zero{ending}").symlink_to("/dev/zero")
    (folder / f"loop{ending}").symlink_to(folder / f"loop{ending}")


@pytest.mark.parametrize("command", READERS)
def test_every_command_refuses_what_it_cannot_read(jitkit: Jitkit, tmp_path: Path, command: str) -> None:
    for ending in ("", ".tiktoken"):
        make_special(tmp_path, ending)
    for kind in SPECIAL:
        for folder, name in (("broken", "index.json"), ("exported", "manifest.toml")):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).unlink(missing_ok=True)
            (tmp_path / folder / name).symlink_to(tmp_path / kind)
        done = jitkit(command.format(kind))
        assert_one_line(done, done[0])
        assert done[0] in {READERS[command], 4}  # what cannot be looked up may be a manifest or a model
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", SPECIAL)
def test_other_manifests_beside_weights_may_be_anything(
    jitkit: Jitkit, tmp_path: Path, checkpoint: Path, kind: str
) -> None:
    make_special(tmp_path)
    assert jitkit(f"export {checkpoint} -o shared")[0] == 0
    (tmp_path / "shared" / "a.toml").symlink_to(tmp_path / kind)
    assert jitkit("generate shared/model.safetensors")[0] == 0


@pytest.mark.slow
def test_a_text_may_come_through_a_pipe(jitkit: Jitkit, tmp_path: Path) -> None:
    for number, text in enumerate(("/dev/stdin < novel.txt", "<(cat novel.txt)", "/dev/fd/5 5< novel.txt")):
        command = f"{JITKIT} encode -m tiny.toml -o new{number} {text}"
        subprocess.run(["bash", "-c", command], check=True, capture_output=True, cwd=tmp_path, env=ENVIRONMENT)
        assert jitkit(f"decode new{number} -m tiny.toml -o again{number}")[0] == 0
        assert (tmp_path / f"again{number}").read_bytes() == (tmp_path / "novel.txt").read_bytes()


def test_a_decoded_text_goes_into_a_pipe_or_device(jitkit: Jitkit, tmp_path: Path) -> None:
    make_special(tmp_path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    assert jitkit("decode album -m tiny.toml -o pipe")[0] == 0
    reader.join(timeout=60)
    assert received == [(tmp_path / "novel.txt").read_bytes()]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert jitkit("decode album -m tiny.toml -o /dev/null")[0] == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert_one_line(jitkit("decode album -m tiny.toml -o /dev/full"), 6, "/dev/full: found no space left")
    for name in ("socket", "loop", "x" * 300):
        done = jitkit(f"decode album -m tiny.toml -o {name}")
        assert_one_line(done, done[0])
        assert done[0] in {4, 6}
    assert_one_line(jitkit("decode album -m tiny.toml -o album"), 2, "a folder")


@pytest.mark.slow
def test_stdout_gets_the_text_and_nothing_else(jitkit: Jitkit, tmp_path: Path) -> None:
    text = (tmp_path / "novel.txt").read_bytes()
    (tmp_path / "log").write_bytes(b"before\n")
    command = f"{JITKIT} decode album -m tiny.toml -o /dev/stdout"
    for redirection, expected in ((" | cat > out", text), (" > new", text), (" >> log", b"before\n" + text)):
        subprocess.run(["bash", "-c", command + redirection], check=True, cwd=tmp_path, env=ENVIRONMENT)
        assert (tmp_path / redirection.split()[-1]).read_bytes() == expected


def test_a_link_stays_and_a_mode_is_kept(jitkit: Jitkit, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (target := tmp_path / "elsewhere" / "text").write_text("old")
    target.chmod(0o600)
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere" / "new")
    assert jitkit("decode album -m tiny.toml -o link --overwrite")[0] == 0
    assert jitkit("decode album -m tiny.toml -o dangling")[0] == 0
    for name, other in (("link", "text"), ("dangling", "new")):
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "elsewhere" / other).read_bytes() == (tmp_path / "novel.txt").read_bytes()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == ["new", "text"]


WRITERS = {  # command -> what it writes
    "decode album -m tiny.toml -o new": "new",
    "tokenizer train novel.txt --vocab-size 260 -o new": "new",
    "codec fit tiny.toml --data texts --set data.validation_fraction=0.5 -o new": "new",
    "codec inspect bits --vocab-size 258 --image-size 16 --num-tokens 16 --image new": "new",
    "generate {} --image new --gif": "new",
    "export {} -o new": "new",
    "encode novel.txt -m tiny.toml -o new": "new",
    "eval --checkpoint {} --quick --limit 1 --metric validation --out new": "new",
}


@pytest.mark.parametrize("command", WRITERS)
def test_a_command_replaces_only_what_it_is_told_to(
    jitkit: Jitkit, tmp_path: Path, checkpoint: Path, command: str
) -> None:
    (tmp_path / "texts").mkdir()
    for name in "ab":
        (tmp_path / "texts" / f"{name}.txt").write_text("It was a bright cold day. " * 40)
    first = jitkit(command.format(checkpoint))
    assert first[0] == 0, first
    before = contents(tmp_path / "new")
    assert_one_line(jitkit(command.format(checkpoint)), 2, "new")
    assert contents(tmp_path / "new") == before
    if "encode novel" not in command:
        assert jitkit(command.format(checkpoint).replace("--gif", "") + " --overwrite")[0] == 0
        assert "seed-0.gif" not in contents(tmp_path / "new"), "of another text"


def contents(path: Path) -> dict[str, bytes]:
    """Return the content of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return {file.name: file.read_bytes() for file in files if file.is_file()}


@pytest.mark.parametrize(
    "reason", ["ENOSPC", pytest.param("EIO", marks=pytest.mark.slow), pytest.param("EDQUOT", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("command", WRITERS)
def test_a_disk_that_fails_keeps_what_was_there(
    jitkit: Jitkit, tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, command: str, reason: str
) -> None:
    (tmp_path / "texts").mkdir()
    for name in "ab":
        (tmp_path / "texts" / f"{name}.txt").write_text("It was a bright cold day. " * 40)
    stage = {"ENOSPC": "write", "EIO": "before-fsync", "EDQUOT": "create"}[reason]
    monkeypatch.setenv(VARIABLE, f"*:{stage}:{reason}")
    done = jitkit(command.format(checkpoint))
    assert done[0] == 6, done
    assert "this is a bug" not in done[2].lower()
    assert done[2].count("jitkit: error: ") == 1
    assert not contents(tmp_path / "new") if (tmp_path / "new").is_dir() else not (tmp_path / "new").exists()
    monkeypatch.delenv(VARIABLE)
    assert jitkit(command.format(checkpoint))[0] == 0, "nothing is left that must be removed by hand"


@pytest.mark.parametrize(
    "point", ["train-00000.bin:write:ENOSPC", "validation-00000.bin:create:EDQUOT", "index.json:before-fsync:EIO"]
)
def test_a_text_that_cannot_be_prepared_leaves_no_cache(
    jitkit: Jitkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    (tmp_path / "long.txt").write_text("It was a bright cold day in April.\n" * 200)
    monkeypatch.setenv(VARIABLE, point)
    assert_one_line(jitkit("data prepare tiny.toml --data long.txt"), 6, "cache/prepared/")
    assert not [path for path in (tmp_path / "cache" / "prepared").iterdir() if path.is_dir()]
    monkeypatch.delenv(VARIABLE)
    assert jitkit("data prepare tiny.toml --data long.txt")[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", ["data prepare tiny.toml --data long.txt", "encode long.txt -m tiny.toml -o new"])
def test_a_limit_of_the_file_size_is_one_line(jitkit: Jitkit, tmp_path: Path, command: str) -> None:
    """The limit of `ulimit -f` behaves as a full disk does, without JITKIT_FAULT."""
    (tmp_path / "long.txt").write_text("It was a bright cold day in April.\n" * 2000)
    environment = ENVIRONMENT | {"JITKIT_CACHE": str(tmp_path / "cache")}
    command = f"ulimit -f 1; {JITKIT} {command}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    *progress, error = done.stderr.splitlines(keepends=True)
    assert_one_line((done.returncode, done.stdout, error), 6, "file too large")
    assert "error" not in "".join(progress)
    assert not (tmp_path / "new").exists()
    assert not list((tmp_path / "cache").rglob("*.bin"))


@pytest.mark.slow
def test_a_frontier_of_a_zoo_model_is_written_to_the_working_folder(jitkit: Jitkit, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in builtin_folder().rglob("*")}
    (tmp_path / "long.txt").write_text("It was a bright cold day in April. " * 400)
    assert jitkit("frontier jit-nano --data long.txt -n 2 --sweep sampler.steps=1")[0] == 0
    assert {path.name for path in (tmp_path / "frontier" / "jit-nano").iterdir()} == {"frontier.json", "report.html"}
    assert {path: path.stat().st_mtime_ns for path in builtin_folder().rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["000003.png:write", "index.json:create", "000001.png:after-replace", "index.json:before-replace:2"]
)
def test_a_killed_encode_leaves_nothing_to_remove_by_hand(jitkit: Jitkit, tmp_path: Path, point: str) -> None:
    (tmp_path / "there").mkdir()
    for folder in ("new", "there"):
        command = [JITKIT, "encode", "novel.txt", "-m", "tiny.toml", "-o", folder]
        killed = subprocess.run(command, env=ENVIRONMENT | {VARIABLE: point}, cwd=tmp_path, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert_one_line(jitkit(f"decode {folder} -m tiny.toml -o text"), 4, "index.json: found no such file")
        assert jitkit(f"encode novel.txt -m tiny.toml -o {folder}")[0] == 0
        assert contents(tmp_path / folder) == contents(tmp_path / "album")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up the rights of root during the block."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(
    ("mode", "command"),
    [*((0o700, command) for command in (*READERS, *WRITERS)), *((0o555, command) for command in WRITERS)],
)
def test_a_folder_without_permission_is_one_line(
    jitkit: Jitkit, tmp_path: Path, checkpoint: Path, mode: int, command: str
) -> None:
    """Closed folders cannot be read, and read-only ones not be written."""
    path = tmp_path / "closed" / "file"
    (tmp_path / "closed").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("It was a bright cold day. " * 40)
    (tmp_path / "closed").chmod(mode)
    (tmp_path / "cache").mkdir(mode=0o777)
    (tmp_path / "cache").chmod(0o777)
    command = command.replace("new", str(path)).replace("broken", str(path)).replace("exported", str(path))
    for place in (tmp_path, *tmp_path.parents):
        if place.is_relative_to("/tmp") and place != Path("/tmp"):
            place.chmod(place.stat().st_mode | 0o711)
    with as_nobody():
        done = jitkit(command.format(checkpoint if mode == 0o555 else path))
    assert_one_line(done, done[0], "permission denied")
    assert done[0] in {3, 4, 6}


def test_names_that_are_no_text_survive(jitkit: Jitkit, tmp_path: Path) -> None:
    name = os.fsdecode(b"nov\xff.txt")
    (tmp_path / name).write_bytes((tmp_path / "novel.txt").read_bytes())
    assert jitkit(f"encode {name} -m tiny.toml -o {name}.album --json")[0] == 0
    assert jitkit(f"decode {name}.album -m tiny.toml -o {name}.again")[0] == 0
    assert (tmp_path / f"{name}.again").read_bytes() == (tmp_path / "novel.txt").read_bytes()
    assert_one_line(
        jitkit(f"encode missing-{name} -m tiny.toml -o new"), 4, "missing-nov\\udcff.txt: found no such file"
    )
    assert_one_line(jitkit(f"data prepare tiny.toml --data {name}"), 4, "--data: found 'nov\\udcff.txt'")


def test_paths_from_the_command_line_mean_what_they_say(
    jitkit: Jitkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert jitkit("decode album -m tiny.toml --output=~/text")[0] == 0
    assert (tmp_path / "home" / "text").exists()
    assert_one_line(jitkit("decode album -m tiny.toml -o", ""), 2, "--out: found an empty value")
    assert_one_line(jitkit("train tiny.toml --data novel.txt --out", ""), 2, "--out: found an empty value")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_user_without_a_home_is_told_about_the_cache(
    jitkit: Jitkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "JITKIT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    os.setreuid(123456, 0)
    try:
        done = jitkit("data prepare tiny.toml")
    finally:
        os.setreuid(0, 0)
    assert_one_line(done, 6, "JITKIT_CACHE: found no home folder")
