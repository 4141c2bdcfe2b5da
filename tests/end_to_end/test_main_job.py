"""The main workflow as a user runs it: train, resume, evaluate, and generate in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest

from tests.tiny import tiny_toml

pytestmark = pytest.mark.slow

MANIFEST = tiny_toml(
    "codec={use='bits'}",
    "data={use='text', path='book.txt'}",
    "train={max_steps=100_000, batch_size=4, validation_windows=4, lr=1e-3}",
    "eval={times=[0.5, 0.9], num_windows=4}",
)


@dataclass(frozen=True)
class Shell:
    """A shell in a folder."""

    folder: Path

    def start(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """Start `jitkit` with the arguments `words` and the environment variables `more`."""
        program = str(Path(sys.executable).with_name("jitkit"))
        environment = os.environ | {"JITKIT_CACHE": str(self.folder / "cache"), "OMP_NUM_THREADS": "1"} | more
        return subprocess.Popen(
            [program, *words],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `jitkit` and check that it exits with `code`."""
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, f"jitkit {' '.join(words)}: {process.returncode}\n{out}\n{err}"
        assert "Traceback" not in err
        return subprocess.CompletedProcess(words, code, out, err)

    def json(self, *words: str) -> dict[str, Any]:
        """Run `jitkit ... --json` and return its document. It must be strict JSON with a schema."""
        document = json.loads(self.run(*words, "--json").stdout, parse_constant=pytest.fail)
        assert isinstance(document["schema"], str)
        return document


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    folder = tmp_path_factory.mktemp("user")
    (folder / "tiny.toml").write_text(MANIFEST)
    (folder / "book.txt").write_text("\n\n".join(topics.values())[:50_000], encoding="utf-8")
    return Shell(folder)


@pytest.fixture(scope="module")
def interrupted(shell) -> dict[str, Any]:
    """A run that was interrupted with Ctrl-C."""
    process = shell.start("train", "tiny.toml")
    metrics = shell.folder / "run" / "tiny" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (metrics.exists() and metrics.read_text().count("\n") > 10):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return {"code": process.returncode, "out": out, "err": err, "step": last_step(metrics)}


@pytest.fixture(scope="module")
def trained(shell, interrupted) -> Path:
    """The interrupted run, resumed for five more steps."""
    end = interrupted["step"] + 5
    done = shell.json("train", "tiny.toml", "--resume", "auto", "--set", f"train.max_steps={end}")
    assert done["step"] == end
    return shell.folder / "run" / "tiny"


def last_step(metrics: Path) -> int:
    return max(json.loads(line).get("step", 0) for line in metrics.read_text().splitlines())


def test_ctrl_c_finishes_the_step_and_saves_a_checkpoint(shell, interrupted) -> None:
    assert interrupted["code"] == 130
    assert interrupted["step"] > 0
    assert "Traceback" not in interrupted["err"]
    assert list((shell.folder / "run" / "tiny").glob("checkpoint_epoch_*.pth"))


def test_resume_auto_repeats_and_skips_no_step(trained, interrupted) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "lr" in line]
    assert steps == list(range(1, interrupted["step"] + 6)), "every step once, in order"


def test_eval_needs_only_the_checkpoint(shell, trained, tmp_path) -> None:
    elsewhere = Shell(tmp_path)
    report = elsewhere.json("eval", "--checkpoint", str(trained / "best_model.pth"))
    assert report["codec"]["round_trip_accuracy"] == 1
    assert report["validation"]["loss"] > 0
    assert [row["t"] for row in report["token_recovery"]] == [0.5, 0.9]
    assert [row["t"] for row in report["text_recovery"]] == [0.5, 0.9]
    for row in report["token_recovery"]:
        assert all(0 <= row[key] <= 1 for key in ("one_step", "sampled", "contextless"))
    for row in report["text_recovery"]:
        assert 0 <= row["exact"] <= 1
        assert row["cer"] >= 0


def test_equal_seeds_generate_equal_texts(shell, trained) -> None:
    words = ("generate", str(trained / "best_model.pth"), "-n", "2", "--seed", "5")
    first, second = shell.json(*words)["texts"], shell.json(*words)["texts"]
    assert first == second
    assert len(first) == 2
    assert all(isinstance(text["text"], str) and isinstance(text["seed"], int) for text in first)


def test_a_generated_text_starts_with_its_prompt(shell, trained) -> None:
    [text] = shell.json("generate", str(trained / "best_model.pth"), "-n", "1", "--prompt", "It was ")["texts"]
    assert text["text"].startswith("It was ")


def test_a_fresh_start_never_overwrites_a_run(shell, trained) -> None:
    before = (trained / "best_model.pth").read_bytes()
    shell.run("train", "tiny.toml", code=2)
    assert (trained / "best_model.pth").read_bytes() == before


def test_a_typo_in_the_manifest_suggests_the_correct_key(shell) -> None:
    (shell.folder / "typo.toml").write_text(MANIFEST.replace("\nlr = ", "\nlrr = "))
    done = shell.run("train", "typo.toml", code=3)
    [line] = done.stderr.splitlines()
    assert "typo.toml" in line
    assert "train.lrr" in line
    assert "Did you mean lr?" in line


@pytest.mark.parametrize(
    "words",
    [
        ("train", "tiny.toml", "--resume", "nowhere.pth"),
        ("train", "tiny.toml", "--data", "nowhere.txt", "--out", "fresh"),
        ("eval", "--checkpoint", "nowhere.pth"),
        ("generate", "nowhere.pth"),
    ],
    ids=" ".join,
)
def test_a_missing_file_is_named(shell, words) -> None:
    done = shell.run(*words, code=4)
    assert not done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert "nowhere" in done.stderr


def test_errors_are_json_with_the_json_option(shell) -> None:
    done = shell.run("eval", "--checkpoint", "nowhere.pth", "--json", code=4)
    assert json.loads(done.stdout)["error"]["code"] == 4


def test_running_the_module_equals_running_the_command(shell) -> None:
    words = [sys.executable, "-m", "jitkit", "train", "nowhere"]
    done = subprocess.run(words, cwd=shell.folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (3, shell.run("train", "nowhere", code=3).stderr)


def test_help_fits_a_narrow_terminal(shell) -> None:
    for words in ((), ("train",), ("generate",), ("codec", "inspect")):
        text = shell.run(*words, "--help", COLUMNS="40", TERM="dumb").stdout
        assert "Usage" in text
        assert max(map(len, text.splitlines())) <= 40


def test_a_closed_output_pipe_is_not_an_error(shell) -> None:
    program = Path(sys.executable).with_name("jitkit")
    command = f"'{program}' zoo schema | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=shell.folder, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "{"
    assert done.stderr == ""
    assert done.returncode in {0, 128 + signal.SIGPIPE}


def test_output_to_a_pipe_has_no_escape_sequences(shell, trained) -> None:
    for words in (
        ("zoo", "list"),
        ("eval", "--checkpoint", str(trained / "best_model.pth"), "--limit", "1"),
        ("--help",),
    ):
        for more in ({}, {"NO_COLOR": "1"}):
            done = shell.run(*words, **more)
            assert "\x1b" not in done.stdout + done.stderr
