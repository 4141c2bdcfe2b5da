"""Kill jitkit again and again while it writes, and check that nothing is lost.

``python -m tests.nightly.kill --rounds 200`` prints its seed. A run that is killed and resumed any number of times ends like
one that was never killed, bit for bit. A killed export, encode or prepare can be repeated without cleaning up.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from jitkit.checkpoints.format import load_checkpoint
from jitkit.errors import JitkitError
from jitkit.storage.atomic import SUFFIX
from jitkit.training.reporting import TIMES
from tests.forked import Outcome, import_everything, run_forked
from tests.nightly.seeds import SETTINGS, TEXT, environment
from tests.tiny import tiny_toml

TRAIN = "train tiny.toml --out run --resume auto"
EXPORT = "export reference/best_model.pth -o exported --overwrite"
ENCODE = "encode text.txt -m tiny.toml -o album"
PREPARE = "data prepare tiny.toml --json"
COMMANDS = (TRAIN, TRAIN, TRAIN, TRAIN, EXPORT, ENCODE, PREPARE)
LONG = 120.0  # seconds; no command takes as long


class Lab:
    """A folder with a text, a manifest and a run that was never killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "text.txt").write_text(TEXT)
        (folder / "tiny.toml").write_text(tiny_toml(*SETTINGS, "train.max_steps=60"))
        os.environ |= environment(folder)
        self.duration = self.run("train tiny.toml --out reference").seconds  # of a run that is not killed
        self.tokens = self.prepared()

    def run(self, command: str) -> Outcome:
        """Run a command to its end. Raises RuntimeError if it fails."""
        outcome = run_forked(command.split(), self.folder, LONG)
        if outcome.code != 0:
            raise RuntimeError(f"{command}: code {outcome.code}: {outcome.stderr[-500:]}")
        return outcome

    def prepared(self) -> str:
        """Return a hash of the prepared tokens."""
        self.run(PREPARE)
        files = sorted((self.folder / "cache").rglob("*.bin"))
        return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()

    def problem_after(self, command: str) -> str:
        """Return what is wrong with the files after `command` was killed, or ""."""
        if command == TRAIN:
            return self._run_problem()
        if command == PREPARE:
            return "" if self.prepared() == self.tokens else "the prepared tokens differ"
        if command == ENCODE:
            if not (self.folder / "album/index.json").is_file():  # killed before the album was complete
                self.run(command)
            self.run("decode album -m tiny.toml -o decoded.txt --overwrite")
            shutil.rmtree(self.folder / "album")
            return "" if (self.folder / "decoded.txt").read_text() == TEXT else "the decoded text differs"
        self.run(command)
        self.run("generate exported -n 1 --steps 1")
        return self._leftovers("exported")

    def _run_problem(self) -> str:
        for path in (self.folder / "run").rglob("*.pth"):
            try:
                load_checkpoint(path)
            except JitkitError as error:
                return str(error)
        return ""

    def _leftovers(self, name: str) -> str:
        left = [
            path.name for path in self.folder.rglob(f"*{SUFFIX}*") if name in path.parts or path.parent == self.folder
        ]
        return f"{left} left" if left else ""

    def finished_problem(self) -> str:
        """Return how the finished run differs from the one that was never killed, or ""."""
        run, reference = self.folder / "run", self.folder / "reference"
        if _metrics(run) != _metrics(reference):
            return "the metrics differ"
        for path in reference.glob("*.pth"):
            if not _equal(vars(load_checkpoint(run / path.name)), vars(load_checkpoint(path))):
                return f"{path.name} differs"
        return self._leftovers("run")


def _metrics(folder: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


def _equal(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    return one == other


def kill_loop(lab: Lab, rounds: int, rng: random.Random) -> Counter[str]:
    """Start and kill `rounds` commands. Returns counts of what happened; raises RuntimeError at the first problem."""
    counts = Counter[str]()
    for number in range(rounds):
        command = rng.choice(COMMANDS)
        if command == PREPARE:
            shutil.rmtree(lab.folder / "cache", ignore_errors=True)
        outcome = run_forked(command.split(), lab.folder, rng.uniform(0, lab.duration))
        ended = "killed" if outcome.code is None else f"code {outcome.code}"
        counts[f"{command.split()[0]}: {ended}"] += 1
        problem = "" if outcome.code in (None, 0) else outcome.stderr[-500:]
        problem = problem or lab.problem_after(command)
        if command == TRAIN and outcome.code == 0 and not problem:
            problem = lab.finished_problem()
            shutil.rmtree(lab.folder / "run")
        if problem:
            raise RuntimeError(f"round {number}: {command}: {ended}: {problem}")
    return counts


def main() -> None:
    """Run the loop. Exits with 1 at the first problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", default=time.strftime("%Y%m%d"))
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.stdout.write(f"seed {arguments.seed}\n")
    import_everything()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            counts = kill_loop(Lab(Path(folder)), arguments.rounds, random.Random(arguments.seed))
        except RuntimeError as error:
            sys.exit(str(error))
    minutes = (time.monotonic() - started) / 60
    sys.stdout.write(
        f"{arguments.rounds} rounds in {minutes:.1f} minutes without a problem: {dict(sorted(counts.items()))}\n"
    )


if __name__ == "__main__":
    main()
