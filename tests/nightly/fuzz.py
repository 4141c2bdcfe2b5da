"""Give jitkit damaged files, thousands of them, and report every command that does not end as it should.

``python -m tests.nightly.fuzz --inputs 20000 --minutes 30`` prints its seed. ``--seed S --only I`` repeats one input, and
``--regressions`` repeats the inputs that failed once, which are kept in `regressions/`.
A command ends as it should with a known exit code and at most one error per problem in jitkit's own form, without a
traceback or a control character, in `SECONDS` (and more for a large file, see `seconds_for`), and with at most `MEMORY`
bytes above the size of its file.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from tests.forked import Outcome, import_everything, run_forked
from tests.nightly.formats import Format
from tests.nightly.seeds import build_seeds, copy_seeds, environment

SECONDS = 20.0
MEMORY = 1 << 30
EXIT_CODES = {0, 2, 3, 4, 5, 6, 7, 8}
BATCH = 25  # inputs that a worker tries between two reports
PACKAGES = ("zstandard", "charset_normalizer", "pyarrow.parquet", "datasets", "huggingface_hub")  # imported when needed
REGRESSIONS = Path(__file__).parent / "regressions"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Failure:
    """An input that made a command misbehave."""

    number: int
    format: str
    command: str
    complaint: str
    content: bytes
    stderr: str


def complaint(command: str, outcome: Outcome, size: int) -> str:
    """Return what is wrong with how a command ended, or "". `size` is the size of the damaged file in bytes."""
    if outcome.code is None:
        return f"hangs for more than {seconds_for(size):.0f} s"
    if "Traceback" in outcome.stderr or "internal error" in outcome.stderr or "panicked" in outcome.stderr:
        return "has a traceback, a panic or an internal error"
    if outcome.code not in EXIT_CODES:
        return f"ends with code {outcome.code}"
    if outcome.memory > size + MEMORY:
        return f"takes {outcome.memory / 2**30:.1f} GB for a file of {size} bytes"
    if "not enough memory" in outcome.stderr:
        return "runs out of memory"
    if outcome.code and "error" not in outcome.stderr:
        return f"ends with code {outcome.code} without an error message"
    shown = outcome.stderr + (outcome.stdout if "--json" in command else "")  # `zoo show` copies a file into a pipe
    if CONTROL.search(shown):
        return "prints a control character"
    return ""


def seconds_for(size: int) -> float:
    """Return the time limit for a file of `size` bytes. A text of 1 MB becomes 60,000 image files, which is no hang."""
    return SECONDS + size / 2**15


def attempt(one: Format, content: bytes, command: str, seeds: Path, folder: Path) -> tuple[str, Outcome]:
    """Run a command on a damaged file in a copy of the seed folder; return the complaint and the outcome."""
    copy_seeds(seeds, folder)
    (folder / one.file).write_bytes(content)
    if one.repair is not None:
        one.repair(folder / one.file)
    os.environ |= environment(folder)
    outcome = run_forked(command.split(), folder, seconds_for(len(content)))
    return complaint(command, outcome, len(content)), outcome


class Tried:
    """What came of some inputs."""

    def __init__(self) -> None:
        self.codes = Counter[str]()  # inputs by exit code
        self.inputs, self.seconds = Counter[str](), Counter[str]()  # by format
        self.failures = list[Failure]()

    def add(self, other: Tried) -> None:
        """Add what came of other inputs."""
        self.codes += other.codes
        self.inputs += other.inputs
        self.seconds += other.seconds
        self.failures += other.failures


def fuzz(numbers: range, seed: str, formats: tuple[Format, ...], seeds: Path) -> Tried:
    """Try the inputs with these numbers."""
    tried = Tried()
    folder = seeds.parent / f"worker-{os.getpid()}"
    for number in numbers:
        started, rng = time.monotonic(), random.Random(f"{seed}/{number}")
        one = formats[number % len(formats)]
        command = rng.choice(one.commands)
        content = one.damaged(rng, (seeds / one.file).read_bytes())
        problem, outcome = attempt(one, content, command, seeds, folder)
        tried.codes[str(outcome.code)] += 1
        tried.inputs[one.name] += 1
        tried.seconds[one.name] += time.monotonic() - started
        if problem:
            tried.failures.append(Failure(number, one.name, command, problem, content, outcome.stderr))
    return tried


def repeat_regressions(formats: tuple[Format, ...], seeds: Path) -> bool:
    """Run every command of a format on the kept files of the format; print what fails, and return whether any did."""
    failed = False
    for path in sorted(REGRESSIONS.iterdir()):
        one = next(one for one in formats if one.name == path.name.partition(".")[0])
        for command in dict.fromkeys(one.commands):
            problem, outcome = attempt(one, path.read_bytes(), command, seeds, seeds.parent / "regression")
            if problem:
                failed = True
                sys.stdout.write(f"{path.name}: {command}: {problem}: {outcome.stderr[-300:]!r}\n")
    return failed


def keep(failure: Failure) -> Path:
    """Save a failing input as a regression file, named after its format and content."""
    REGRESSIONS.mkdir(exist_ok=True)
    path = REGRESSIONS / f"{failure.format}.{hashlib.sha256(failure.content).hexdigest()[:12]}"
    path.write_bytes(failure.content)
    return path


def main() -> None:
    """Fuzz until the inputs or the minutes are used up. Exits with 1 if a command misbehaved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", default=time.strftime("%Y%m%d"))
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--only", type=int, help="number of the only input to try")
    parser.add_argument("--format", nargs="+", help="names of the only formats to try")
    parser.add_argument("--regressions", action="store_true", help="repeat the inputs that failed once")
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # both are read at import
    sys.stdout.write(f"seed {arguments.seed}\n")
    import_everything()
    for package in PACKAGES:
        with suppress(ImportError):
            importlib.import_module(package)
    memory = Path("/dev/shm")  # fsync is fast there
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, ignore_cleanup_errors=True) as home:
        seeds = Path(home) / "seeds"
        formats = build_seeds(seeds)
        if arguments.format:
            formats = tuple(one for one in formats if one.name in arguments.format)
        if arguments.regressions:
            failed = repeat_regressions(formats, seeds)
        else:
            failed = _run(arguments, partial(fuzz, seed=arguments.seed, formats=formats, seeds=seeds))
    sys.exit(failed)


def _batches(arguments: argparse.Namespace) -> Iterator[range]:
    if arguments.only is not None:
        yield range(arguments.only, arguments.only + 1)
        return
    for start in range(0, arguments.inputs, BATCH):
        yield range(start, min(start + BATCH, arguments.inputs))


def _run(arguments: argparse.Namespace, work: partial[Tried]) -> bool:
    """Run all batches on the workers, print the failures as they occur and a summary; return whether there are any."""
    started, total = time.monotonic(), Tried()
    with ProcessPoolExecutor(arguments.workers, mp_context=get_context("fork")) as pool:
        for batch in pool.map(work, _batches(arguments)):
            total.add(batch)
            for failure in batch.failures:
                tail = failure.stderr.strip().splitlines()[-2:]
                sys.stdout.write(f"input {failure.number}: {failure.command}: {failure.complaint}: {keep(failure)}\n")
                sys.stdout.write("".join(f"  {line[:200]!r}\n" for line in tail))
            sys.stdout.flush()
            if time.monotonic() - started > 60 * arguments.minutes:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    minutes = (time.monotonic() - started) / 60
    sys.stdout.write(
        f"{total.codes.total()} inputs in {minutes:.1f} minutes; exit codes {dict(sorted(total.codes.items()))}\n"
    )
    _print_formats(total)
    return bool(total.failures)


def _print_formats(total: Tried) -> None:
    """Print how fast a worker tries each format, slowest first, and how often each failed in which way."""
    for name, seconds in total.seconds.most_common():
        sys.stdout.write(f"{total.inputs[name] / seconds:8.1f} inputs per second of {name}\n")
    failures = Counter(f"{failure.format}: {failure.complaint}" for failure in total.failures)
    sys.stdout.write("".join(f"{count:6d} {name}\n" for name, count in failures.most_common()))


if __name__ == "__main__":
    main()
