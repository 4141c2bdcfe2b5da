"""`jitkit train` and `jitkit export` as processes: real signals, real kills, a real terminal."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from jitkit.checkpoints.format import load_checkpoint
from tests.core.cli.conftest import ENVIRONMENT, JITKIT, run, run_on_a_terminal
from tests.training_lab import RECIPE, digest, metrics

pytestmark = pytest.mark.slow

STEPS = 160
LONG = ("--set", f"train.max_steps={STEPS}", "--set", "train.keep=2")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe and a text, the working directory."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 16)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(ENVIRONMENT, "JITKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def command(*more: str, out: str = "run") -> list[str]:
    return ["train", "tiny.toml", "--data", "text.txt", "--out", out, *more]


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [JITKIT, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )


def wait_for_steps(process: subprocess.Popen[str], log: Path, number: int) -> None:
    """Wait until a running process has logged `number` lines."""
    limit = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < limit:
        if log.exists() and log.read_text().count("\n") >= number:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {number} steps: {process.communicate()[1]}")


def test_short_documents_that_are_cut_by_images_are_pointed_out(place: Path) -> None:
    short, long = (
        "\n".join(json.dumps({"text": f"{text} {number}"}) for number in range(60))
        for text in ("a fox", "a fox and a dog " * 9)
    )
    (place / "short.jsonl").write_text(short)
    (place / "long.jsonl").write_text(long)
    for name, more, warned in (
        ("short", (), True),
        ("short", ("--set", "train.pack=false"), False),
        ("long", (), False),
    ):
        done = run(*command("--data", f"{name}.jsonl", "--set", "train.max_steps=1", "--overwrite", *more))
        assert done.returncode == 0, done.stderr
        assert ("images hold parts of several" in done.stderr) is warned, done.stderr


def test_an_error_of_an_override_names_the_option_that_made_it(place: Path) -> None:
    for more in ((), ("--dry-run",)):
        done = run(*command("--minutes", "0", *more))
        assert done.returncode == 3
        assert done.stderr == "jitkit: error: --minutes: found 0.0; expected greater than 0.\n"
    done = run(*command("--set", "train.minutes=0"))
    assert done.stderr.startswith("jitkit: error: --set: train.minutes: found 0; ")


def test_a_run_killed_repeatedly_equals_an_uninterrupted_one(place: Path) -> None:
    assert run(*command(*LONG, out="whole")).returncode == 0
    delays = random.Random(7)
    for _ in range(4):
        process = started(*command(*LONG, "--resume", "auto"))
        log = place / "run" / "metrics.jsonl"
        seen = log.read_text().count("\n") if log.exists() else 0
        try:
            wait_for_steps(process, log, seen + 20)
        except AssertionError:
            assert process.returncode == 0, "the run finished before the kill"
            break
        time.sleep(delays.uniform(0, 0.3))
        process.kill()
        process.communicate()
    done = run(*command(*LONG, "--resume", "auto"))
    assert done.returncode == 0, done.stderr
    newest = max((place / "whole").glob("checkpoint_*.pth"), key=lambda path: load_checkpoint(path).step).name
    assert digest(place / "run" / newest) == digest(place / "whole" / newest)
    assert metrics(place / "run") == metrics(place / "whole")
    assert not list((place / "run").glob(".*tmp"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_a_checkpoint_and_sets_the_exit_code(place: Path, number: int, code: int) -> None:
    process = started(*command(*LONG))
    wait_for_steps(process, place / "run" / "metrics.jsonl", 3)
    os.kill(process.pid, number)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert "--resume auto" in stderr.splitlines()[-1]
    steps = [line["step"] for line in metrics(place / "run") if "loss" in line]
    newest = max((load_checkpoint(path) for path in (place / "run").glob("checkpoint_*")), key=lambda c: c.step)
    assert newest.step == steps[-1]


def test_a_second_process_cannot_train_in_the_same_folder(place: Path) -> None:
    process = started(*command(*LONG))
    wait_for_steps(process, place / "run" / "metrics.jsonl", 1)
    process.send_signal(signal.SIGSTOP)  # keep it from finishing first
    other = run(*command("--resume", "auto"))
    process.kill()
    process.communicate()
    assert other.returncode == 6
    assert "another process that trains in this folder" in other.stderr


def test_json_is_the_only_output_on_stdout(place: Path) -> None:
    done = run(*command("--json"))
    document = json.loads(done.stdout)
    assert document["schema"] == "jitkit.train/1"
    assert (document["step"], document["epoch"]) == (16, 3)
    assert document["loss"] == load_checkpoint(place / "run" / "checkpoint_epoch_3.pth").loss
    assert Path(document["best_model"]).exists()
    failed = run(*command("--json", "--resume", "nope.pth"))
    assert failed.returncode == 4
    assert json.loads(failed.stdout)["error"]["file"] == "nope.pth"


def test_a_dry_run_writes_nothing(place: Path) -> None:
    before = {path.name for path in place.iterdir()} | {"cache"}
    done = run(*command("--dry-run"))
    assert done.returncode == 0, done.stderr
    assert "16 of 6 images, 3 epochs" in done.stdout
    assert "31 of 16 tokens" in done.stdout
    assert {path.name for path in place.iterdir()} <= before
    document = json.loads(run(*command("--dry-run", "--json")).stdout)
    assert (document["num_steps"], document["num_windows"]) == (16, 31)
    assert run(*command()).returncode == 0
    parameters = sum(v.numel() for v in load_checkpoint(place / "run" / "best_model.pth").model_state_dict.values())
    assert document["num_parameters"] == parameters


def test_a_terminal_shows_a_progress_bar(place: Path) -> None:
    code, output = run_on_a_terminal(*command(), columns=150)
    assert code == 0, output
    assert "tokens/s" in output
    assert "16/16" in output
    assert "\x1b[?25h" in output, "the cursor is visible again"


def test_trackers_log_in_addition_to_the_metrics(place: Path) -> None:
    pytest.importorskip("tensorboard")
    done = run(*command("--set", 'train.trackers=["csv", "tensorboard"]'))
    assert done.returncode == 0, done.stderr
    with (place / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [line["loss"] for line in metrics(place / "run") if "loss" in line]
    assert [float(row["value"]) for row in rows if row["name"] == "loss"] == losses
    assert list((place / "run" / "tensorboard").glob("events.*"))


@pytest.mark.parametrize("checkpoint", ["run/checkpoint_epoch_1.pth", "run"])
def test_a_run_folder_is_self_contained(place: Path, checkpoint: str) -> None:
    assert run(*command("--set", "train.max_steps=2")).returncode == 0
    (place / "tiny.toml").unlink()
    (place / "text.txt").rename(place / "elsewhere.txt")
    again = run("train", "run/manifest.toml", "--data", "elsewhere.txt", "--set", "train.max_steps=4", "--resume",
                checkpoint)  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert load_checkpoint(place / "run" / "checkpoint_epoch_1.pth").step == 4
    done = run("export", "run/best_model.pth", "-o", "shared", "--json")
    assert set(json.loads(done.stdout)["files"]) == {
        "README.md",
        "film-strip.png",
        "manifest.toml",
        "model.safetensors",
    }
    assert run("generate", "shared/model.safetensors", "-n", "1").returncode == 0


def test_a_run_goes_on_in_its_own_folder(place: Path) -> None:
    """Named by its manifest, its folder, or a checkpoint of it, and without naming the text again."""
    assert run(*command("--set", "train.max_steps=2")).returncode == 0
    for step, words in enumerate(
        (("run/manifest.toml", "--resume", "auto"), ("--resume", "run"), ("--resume", "run/checkpoint_epoch_1.pth")), 3
    ):
        done = run("train", *words, "--set", f"train.max_steps={step}")
        assert done.returncode == 0, done.stderr
        assert f"next: jitkit eval --checkpoint {Path('run/best_model.pth')}" in done.stdout
        assert load_checkpoint(place / "run" / "checkpoint_epoch_1.pth").step == step
    assert [path.name for path in place.iterdir() if path.is_dir() and path.name != "cache"] == ["run"]
    again = run("train", "run/manifest.toml")
    assert again.returncode == 2
    assert "found a run in this folder" in again.stderr
    folder = run("train", "run")
    assert folder.returncode == 3
    assert folder.stderr.endswith(
        "expected a zoo id or a manifest (.toml). To continue the run: jitkit train --resume run\n"
    )
    assert run("train").returncode == run("train", "--resume", "auto").returncode == 2


def test_a_run_beside_a_manifest_written_by_hand_is_refused(place: Path) -> None:
    (place / "tiny.toml").rename(place / "manifest.toml")
    before = (place / "manifest.toml").read_text()
    for more in ((), ("--overwrite",), ("--resume", "auto")):
        done = run("train", "manifest.toml", "--data", "text.txt", "--out", ".", *more)
        assert done.returncode == 2
        assert "manifest.toml: found a file that is not of a run" in done.stderr
        assert (place / "manifest.toml").read_text() == before


def test_options_of_a_source_that_look_like_separators_are_quoted(place: Path) -> None:
    (place / "table.csv").write_text(
        "text\n" + "".join(f"the quick brown fox {i} jumps over the dog\n" for i in range(40))
    )
    done = run("train", "tiny.toml", "--data", "table.csv", "--out", "run", "--set", "train.max_steps=1",
               "--set", "data.validation_fraction=0.3")  # fmt: skip
    assert done.returncode == 0, done.stderr
    origin = load_checkpoint(place / "run" / "best_model.pth").data["origin"]
    assert origin.startswith('csv (path = table.csv, column = "", ')
    assert 'delimiter = ","' in origin


def test_places_that_hold_no_run_are_named(place: Path) -> None:
    done = run("train", "--resume", "absent")
    expected = "absent: --resume: found no such file or folder; expected a run folder."
    assert (done.returncode, done.stderr) == (4, f"jitkit: error: {expected}\n")
    done = run(*command(out="text.txt"))
    expected = "text.txt: found a file; expected a folder, or a new name for one."
    assert (done.returncode, done.stderr) == (6, f"jitkit: error: {expected}\n")


def test_a_manifest_that_is_missing_is_an_error_of_the_manifest(place: Path) -> None:
    done = run("train", "absent.toml")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("jitkit: error: absent.toml: found no such file")


def test_a_folder_of_texts_is_not_the_manifest(place: Path) -> None:
    (place / "novels").mkdir()
    done = run("train", "novels")
    assert done.returncode == 3
    expected = "novels: found a folder; expected a zoo id or a manifest (.toml). A folder of texts follows --data."
    assert done.stderr == f"jitkit: error: {expected}\n"
