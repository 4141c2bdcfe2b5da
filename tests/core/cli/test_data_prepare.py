"""`jitkit data prepare` of a corpus: workers and parts, signals, killed processes, and memory."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pa = pytest.importorskip("pyarrow", reason="package of the extra `parquet`")
pq = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.slow

# Groups are small, so that a small corpus has many; the peak memory is printed at the end.
PROGRAM = """
import atexit, re, sys
from pathlib import Path
from jitkit.data import corpus
corpus.MIN_GROUP = 1 << 20
atexit.register(lambda: sys.stderr.write(re.search("VmHWM.*kB\\n", Path("/proc/self/status").read_text())[0]))
from jitkit.cli import main
main()
"""
ROWS = 200  # of about 10 kB


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Twelve files of 2 MB, each of which becomes a pair of shards."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(12):
        texts = [f"{number} {row} " + f"the story of day {row % 97} goes on, " * 400 for row in range(ROWS)]
        pq.write_table(pa.table({"text": texts}), folder / f"{number:02}.parquet", use_dictionary=False)
    return folder


def command(corpus: Path, cache: Path, *options: str, task: str = "data prepare") -> subprocess.Popen[str]:
    """Start a command on a corpus, in a process group of its own."""
    settings = ("--data", str(corpus), "--set", "data.use=parquet")
    # A signal may arrive between the opening of a file and the block that closes it, so that Python closes it.
    warnings = {"PYTHONWARNINGS": "error,ignore::ResourceWarning"}
    environment = os.environ | {"JITKIT_CACHE": str(cache), "OMP_NUM_THREADS": "1", **warnings}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *task.split(), "jit-nano", *settings, *options],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
        env=environment,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, list[str], int]:
    """Return the output, the lines of errors, and the peak memory in kB of a process that ends with `code`."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, err
    assert not is_alive(process.pid), "a worker process is left"
    lines = [line for line in err.splitlines() if not line.startswith("jitkit: tokenizing text: ")]
    peak = [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]
    return out, [line for line in lines if not line.startswith("VmHWM")], sum(peak)


def is_alive(group: int) -> bool:
    """Return whether a process group still has a process; the tracker of `multiprocessing` may need a moment to end."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.1)
    return True


def wait_for_a_shard(cache: Path, process: subprocess.Popen[str]) -> Path:
    """Return the unfinished folder when it has a finished pair of shards."""
    while process.poll() is None:
        for record in cache.glob("prepared/*.partial/*.json"):
            return record.parent
        time.sleep(0.01)
    pytest.fail(f"the process ended too early: {process.communicate()}")


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


def content_of(cache: Path) -> dict[str, bytes]:
    [index] = cache.glob("prepared/*/index.json")
    return {path.name: path.read_bytes() for path in index.parent.iterdir()}


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory) -> tuple[dict[str, bytes], int]:
    """The prepared folder, made by one process, and its peak memory in kB."""
    cache = tmp_path_factory.mktemp("cache")
    peak = finish(command(corpus, cache))[2]
    return content_of(cache), peak


@pytest.fixture
def expected(whole) -> dict[str, bytes]:
    """The prepared folder, made by one process."""
    assert len(whole[0]) == 12 * 3 + 1
    return whole[0]


def test_bytes_do_not_depend_on_workers_or_parts(corpus, expected, tmp_path) -> None:
    out, errors, _ = finish(command(corpus, tmp_path / "2", "--workers", "2", "--json"))
    assert not errors
    assert json.loads(out)["shards"] == 12
    assert content_of(tmp_path / "2") == expected
    out, errors, _ = finish(command(corpus, tmp_path / "parts", "--part", "2/2"))
    assert (out, errors) == ("part 2/2 is done: 6 of 12 shards so far\n", [])
    out, _, _ = finish(command(corpus, tmp_path / "parts", "--part", "1/2", "--json"))
    assert json.loads(out)["splits"]["train"]["documents"] > 11 * ROWS
    assert content_of(tmp_path / "parts") == expected
    assert "'3/2'; expected I/N with I from 1 to N" in finish(command(corpus, tmp_path, "--part", "3/2"), 2)[1][0]


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGTERM, 2), (signal.SIGINT, 2)])
def test_a_signal_ends_it_and_finished_shards_are_kept(corpus, expected, tmp_path, number, workers) -> None:
    process = command(corpus, tmp_path, "--workers", str(workers))
    unfinished = wait_for_a_shard(tmp_path, process)
    os.killpg(process.pid, number)  # as Ctrl-C does: to the workers too
    _, errors, _ = finish(process, 128 + number)
    assert errors == ["jitkit: Stopped. Repeat the command to go on: finished shards of a corpus are kept."]
    assert not [path for path in unfinished.rglob("*") if "jitkit-tmp" in path.name]
    before = {path.name: path.stat().st_ino for path in unfinished.glob("*.bin")}
    finish(command(corpus, tmp_path, "--workers", str(workers)))
    assert content_of(tmp_path) == expected
    [index] = tmp_path.glob("prepared/*/index.json")
    records = [name for name in before if (unfinished / name.replace(".bin", ".json")).exists()]
    assert all((index.parent / name).stat().st_ino == before[name] for name in records)


def test_a_killed_worker_is_one_line_and_a_killed_command_leaves_no_workers(corpus, tmp_path) -> None:
    process = command(corpus, tmp_path, "--workers", "2")
    wait_for_a_shard(tmp_path, process)
    os.kill(workers_of(process)[1], signal.SIGKILL)
    _, errors, _ = finish(process, 6)
    assert len(errors) == 1
    assert "found a worker process that was killed by signal 9; expected one that finishes" in errors[0]
    process = command(corpus, tmp_path / "second", "--workers", "2")
    unfinished = wait_for_a_shard(tmp_path / "second", process)
    running = workers_of(process)
    process.kill()
    process.communicate()
    assert len(running) == 2
    assert not is_alive(process.pid), "workers end with the command"
    assert len(list(unfinished.glob("*.json"))) < 12, "they do not finish their work first"


def test_an_error_in_a_worker_is_one_line(corpus, tmp_path) -> None:
    (tmp_path / "bad").mkdir()
    for path in sorted(corpus.iterdir())[:3]:
        (tmp_path / "bad" / path.name).symlink_to(path)
    pq.write_table(pa.table({"text": ["x" * (1 << 20), "y" * (1 << 20), None]}), tmp_path / "bad" / "last.parquet")
    _, errors, _ = finish(command(tmp_path / "bad", tmp_path / "cache", "--workers", "2"), 4)
    assert errors == [
        f"jitkit: error: {tmp_path}/bad/last.parquet: row group 0, column text: found null in row 2; expected a string."
        " To skip such rows: --set data.nulls=skip"
    ]


def test_a_file_that_changed_after_preparation_is_one_line(tmp_path) -> None:
    (tmp_path / "corpus").mkdir()
    file, cache = tmp_path / "corpus" / "a.parquet", tmp_path / "cache"
    pq.write_table(pa.table({"text": [f"text {number} " * 50 for number in range(300)]}), file)
    finish(command(tmp_path / "corpus", cache))
    pq.write_table(pa.table({"text": [f"other {number} " * 50 for number in range(300)]}), file)
    _, errors, _ = finish(command(tmp_path / "corpus", cache, "--out", str(tmp_path / "run"), task="train"), 4)
    assert len(errors) == 1
    assert errors[0].startswith(f"jitkit: error: {file}: found ")
    assert "as when it was prepared. Run `jitkit data prepare` again" in errors[0]
    assert not (tmp_path / "run").exists()


def test_memory_does_not_depend_on_the_size_of_the_corpus(corpus, whole, tmp_path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "00.parquet").symlink_to(corpus / "00.parquet")
    small = finish(command(tmp_path / "small", tmp_path / "cache"))[2]
    content, large = whole
    assert sum(len(data) for name, data in content.items() if name.endswith(".bin")) > 44e6
    assert large - small < 10e3, "kB; the corpus has 22 MB more text and 44 MB more tokens"
