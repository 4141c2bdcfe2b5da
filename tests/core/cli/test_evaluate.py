"""`jitkit eval` needs nothing but the checkpoint."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from jitkit.checkpoints.format import load_checkpoint, save_checkpoint
from jitkit.documents.rows import columns_of
from tests.core.cli.conftest import run, run_on_a_terminal
from tests.training_lab import RECIPE

pytestmark = pytest.mark.slow


def test_one_document_with_every_key(checkpoint, tmp_path):
    done = run("eval", "--checkpoint", checkpoint, "--json", "--out", tmp_path / "report", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert report["schema"] == "jitkit.eval/1"
    assert report["codec"]["round_trip_accuracy"] == 1.0
    assert report["validation"]["loss"] > 0
    assert [columns_of([row]) for row in report["token_recovery"]] == [
        ["t", "one_step", "sampled", "contextless", "bigram"]
    ] * 9
    assert [columns_of([row]) for row in report["text_recovery"]] == [["t", "exact", "cer", "invalid"]] * 9
    assert (report["num_windows"], report["num_held_out"], report["seed"], report["step"]) == (12, 12, 42, 2)
    assert json.loads((tmp_path / "report" / "report.json").read_text()) == report
    assert (tmp_path / "report" / "report.html").read_text().startswith("<!doctype html>")


def test_the_table_marks_what_does_not_beat_the_baseline(checkpoint):
    done = run("eval", "--checkpoint", checkpoint, "--quick")
    assert done.returncode == 0, done.stderr
    assert "not above the context-free baseline" in done.stdout
    assert "Quick estimate" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    code, screen = run_on_a_terminal("eval", "--checkpoint", checkpoint, "--limit", 2, columns=60)
    assert code == 0
    assert "2 of 2 held-out windows" in screen


def test_other_text_is_evaluated_on_its_held_out_part(checkpoint, tmp_path):
    text = tmp_path / "other.txt"
    text.write_text("It was the best of times, it was the worst of times.\n" * 100)
    done = run(
        "eval", "--checkpoint", checkpoint, "--data", text, "--quick", "--json", JITKIT_CACHE=str(tmp_path / "c")
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["held_out"] == str(text)
    assert report["validation"]["loss"] > 0


def test_a_note_gives_the_reason_why_the_training_text_is_not_read(tmp_path):
    """Its path comes from the checkpoint, and may lead anywhere only if it comes from the user."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "text.txt").write_text("the quick brown fox jumps over the lazy dog. " * 16)
    place, text = tmp_path / "run", tmp_path / "text.txt"
    done = run("train", tmp_path / "tiny.toml", "--data", text, "--out", place, JITKIT_CACHE=str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    asked = ["eval", place, "--metric", "token_recovery", "--limit", 1]
    assert f"path '{text}', not a relative path inside {place})" in run(*asked).stderr
    again = run(*asked, "--data", text, JITKIT_CACHE=str(tmp_path / "c"))
    assert (again.returncode, again.stderr) == (0, "")


def test_the_encoding_and_column_of_other_text_are_those_of_this_text_only(checkpoint, tmp_path):
    lines = "Übergrößenträger sind schön, und die Bäume blühen früh im Jahr.\n" * 100
    (tmp_path / "plain.txt").write_text(lines)
    (tmp_path / "latin.txt").write_bytes(lines.encode("cp1252"))
    with (tmp_path / "table.csv").open("w", encoding="cp1252", newline="") as file:
        csv.writer(file).writerows([("id", "body"), *((n, f"{n} {lines}") for n in range(40))])
    encoding = ("--encoding", "windows-1252")
    column = ("--set", "data.column=body", "--set", "data.validation_fraction=0.3")
    commands = {"plain.txt": (), "latin.txt": encoding, "table.csv": (*encoding, *column)}
    reports = {}
    for name, options in commands.items():
        command = (
            "eval",
            checkpoint,
            "--data",
            tmp_path / name,
            *options,
            "--quick",
            "--metric",
            "likelihood",
            "--json",
        )
        done = run(*command, JITKIT_CACHE=str(tmp_path / "c"))
        assert done.returncode == 0, done.stderr
        reports[name] = json.loads(done.stdout)
    assert (
        reports["latin.txt"]["likelihood"] == reports["plain.txt"]["likelihood"] != reports["table.csv"]["likelihood"]
    )
    wrong = run("eval", checkpoint, "--data", tmp_path / "latin.txt", "--quick", JITKIT_CACHE=str(tmp_path / "c"))
    assert wrong.returncode == 4
    assert "not valid UTF-8" in wrong.stderr


def test_an_exported_model_has_a_report(checkpoint, tmp_path):
    """It contains no held-out windows, so the text comes from --data."""
    text, model = tmp_path / "text.txt", tmp_path / "model"
    text.write_text("It was the best of times, it was the worst of times.\n" * 100)
    assert run("export", checkpoint, "--out", model).returncode == 0
    asked = ["eval", "--checkpoint", model / "model.safetensors", "--quick", "--out", tmp_path / "report"]
    missing = run(*asked)
    assert (missing.returncode, missing.stdout) == (4, "")
    assert "--data PATH" in missing.stderr
    done = run(*asked, "--data", text, JITKIT_CACHE=str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    assert (
        "could not check whether the model was trained on this text: the model's recorded training text is"
        in done.stderr
    )
    gallery = json.loads((tmp_path / "report" / "gallery.json").read_text())
    assert "the worst of times" in "".join(real["text"] for real in gallery["real"])
    assert gallery["codec"]["noise"]
    assert "held-out text as an image" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("part", "code", "message"),
    [
        (
            ('use = "bytes"', 'use = "runes"'),
            5,
            "unknown tokenizer 'runes'; expected one of bytes, tiktoken. The model was saved with",
        ),
        (
            ('use = "jit"', 'use = "walsh"'),
            5,
            "unknown backbone 'walsh'; expected one of jit. The model was saved with nice-nets 3",
        ),
    ],
)
def test_missing_plugins_of_a_checkpoint_are_named(checkpoint, tmp_path, part, code, message):
    found = load_checkpoint(checkpoint)
    for name, versions in {"with": {**found.versions, "nice-nets": "3"}, "without": found.versions}.items():
        save_checkpoint(
            tmp_path / f"{name}.pth", replace(found, manifest=found.manifest.replace(*part), versions=versions)
        )
    done = run("eval", "--checkpoint", tmp_path / "with.pth", "--quick")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert message in done.stderr
    done = run("eval", "--checkpoint", tmp_path / "without.pth", "--quick")
    assert (done.returncode, done.stdout) == (3, "")
    assert "The model was saved" not in done.stderr


def test_metrics_and_settings_can_be_selected(checkpoint, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("It was the best of times, it was the worst of times.\n" * 100)
    asked = ["--metric", "generation", "--metric", "codec", "--set", "sampler.steps=2", "--set", "eval.num_windows=3"]
    done = run("eval", "--checkpoint", checkpoint, "--data", text, *asked, "--json", JITKIT_CACHE=str(tmp_path / "c"))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report["about"]) == ["generation", "codec"]
    assert [row["text"] for row in report["generation"]][:2] == ["model", "held-out"]
    assert (report["sampler"]["steps"], report["num_windows"]) == (2, 3)
    assert report["set"] == ["sampler.steps=2", "eval.num_windows=3"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--checkpoint", "nowhere.pth"], 4, "nowhere.pth"),
        (["--checkpoint", "{}x"], 4, "Did you mean {}?"),
        (["--checkpoint", "jit-nanno"], 4, "jit-nano"),
        (["--checkpoint", "{}", "--data", "nowhere.txt"], 4, "nowhere.txt"),
        (["--checkpoint", "{}", "--device", "abacus"], 6, "abacus"),
        (["--checkpoint", "{}", "--limit", "0"], 2, "--limit"),
        (["--checkpoint", "{}", "--metric", "generatoin"], 5, "generation"),
        (["--checkpoint", "{}", "--set", "backbone.depth=2"], 2, "a key of eval, schedule, objective, sampler"),
        (["--checkpoint", "{}", "--encoding", "cp1252"], 2, "--encoding: found no text; expected --data"),
        (["--checkpoint", "{}", "--set", "data.encoding=cp1252"], 2, "a key of eval, schedule, objective, sampler"),
        (["--checkpoint", "{}", "--quick", "--out", "/proc/nowhere"], 6, "/proc/nowhere"),
    ],
)
def test_each_error_is_one_line(checkpoint, arguments, code, message):
    done = run("eval", *(argument.format(checkpoint) for argument in arguments))
    assert done.returncode == code, done.stderr
    assert message.format(checkpoint) in done.stderr
    assert "Traceback" not in done.stderr
