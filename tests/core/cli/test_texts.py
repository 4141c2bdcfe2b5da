"""Texts on the command line: tables, archives, standard input, and other encodings."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.core.cli.conftest import ENVIRONMENT, run
from tests.tiny import TINY

pytestmark = pytest.mark.slow

LINES = "Übergrößenträger sind schön, und die Bäume blühen früh im Jahr.\n" * 100


def piped(text: bytes, *arguments: object, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `jitkit` with a text on its standard input."""
    command = [sys.executable, "-c", "from jitkit.cli import main; main()", *map(str, arguments)]
    settings = ENVIRONMENT | {"JITKIT_CACHE": str(cache)} | environment
    done = subprocess.run(command, input=text, capture_output=True, env=settings, check=False)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def facts(done: subprocess.CompletedProcess[str]) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_same_text_in_every_form_is_the_same_to_the_model(tmp_path) -> None:
    forms = {"plain.txt": (LINES.encode(), ()), "latin.txt": (LINES.encode("cp1252"), ("--encoding", "windows-1252"))}
    for name, (data, _) in forms.items():
        (tmp_path / name).write_bytes(data)
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(tmp_path / "plain.txt", "a/plain.txt")
    forms["packed.zip"] = (b"", ())
    found = {}
    for name, (_, options) in forms.items():
        inspect = ("data", "inspect", "jit-nano", "--data", tmp_path / name, *options, "--json")
        found[name] = facts(run(*inspect, JITKIT_CACHE=str(tmp_path / "cache")))["fingerprint"]
    assert len(set(found.values())) == 1


def test_a_table_needs_only_its_column(tmp_path) -> None:
    with (tmp_path / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "body", "title"), *((n, f"text {n} " * 20, "t") for n in range(300))])
    command = ("data", "prepare", "jit-nano", "--data", tmp_path / "table.csv", "--json")
    unnamed = run(*command, JITKIT_CACHE=str(tmp_path / "cache"))
    assert unnamed.returncode == 4
    assert "table.csv: data.column: found columns id, body, title, and none is named" in unnamed.stderr
    splits = facts(run(*command, "--set", "data.column=body", JITKIT_CACHE=str(tmp_path / "cache")))["splits"]
    assert sum(split["documents"] for split in splits.values()) == 300


def test_a_run_continues_with_the_text_of_standard_input(tmp_path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    settings = ("--set", "train.precision=fp32", "--set", "train.compile=off", "--set", "train.max_steps=2")
    start = ("train", tmp_path / "tiny.toml", "--out", tmp_path / "run", "--data", "-", "--device", "cpu", *settings)
    first = piped(LINES.encode(), *start, cache=tmp_path / "cache")
    assert first.returncode == 0, first.stderr
    assert "standard input is kept as" in first.stderr
    resume = ("train", "--resume", tmp_path / "run", "--set", "train.max_steps=3", "--json")
    assert facts(piped(b"", *resume, cache=tmp_path / "cache"))["step"] == 3


def test_standard_input_is_kept_once_and_privately(tmp_path) -> None:
    for _ in range(2):
        done = piped(
            LINES.encode(), "tokenizer", "inspect", "jit-nano", "--data", "-", "--json", cache=tmp_path / "cache"
        )
        assert facts(done)["texts"][0]["bytes"] == len(LINES.encode())
    [kept] = (tmp_path / "cache" / "standard-input").iterdir()
    assert kept.read_text(encoding="utf-8") == LINES
    assert (tmp_path / "cache" / "standard-input").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("text", "environment", "code", "sentence"),
    [
        (b"", {}, 4, "standard input: found nothing; expected a text"),
        (b"caf\xe9 au lait", {}, 4, "not valid UTF-8; expected UTF-8 text. If the encoding is ISO-8859-1: --encoding"),
        (
            LINES.encode(),
            {"WORLD_SIZE": "2"},
            2,
            "found standard input, which several processes share; expected a file",
        ),
    ],
)
def test_bad_standard_input_is_one_line(tmp_path, text, environment, code, sentence) -> None:
    done = piped(text, "data", "inspect", "jit-nano", "--data", "-", cache=tmp_path / "cache", **environment)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.name.endswith("jitkit-tmp")]


def test_a_terminal_is_no_text(tmp_path) -> None:
    leader, follower = os.openpty()
    command = [
        sys.executable,
        "-c",
        "from jitkit.cli import main; main()",
        "data",
        "inspect",
        "jit-nano",
        "--data",
        "-",
    ]
    settings = ENVIRONMENT | {"JITKIT_CACHE": str(tmp_path)}
    done = subprocess.run(
        command, stdin=follower, capture_output=True, text=True, env=settings, check=False, timeout=120
    )
    os.close(leader)
    os.close(follower)
    assert done.returncode == 2
    assert "found a terminal as standard input; expected a text. As in `cat novel.txt | jitkit" in done.stderr


def test_encode_reads_standard_input_and_other_encodings(tmp_path) -> None:
    (tmp_path / "latin.txt").write_bytes(LINES.encode("cp1252"))
    made = run("encode", tmp_path / "latin.txt", "-m", "jit-nano", "--encoding", "cp1252", "-o", tmp_path / "a")
    assert made.returncode == 0, made.stderr
    assert piped(LINES.encode(), "encode", "-", "-m", "jit-nano", "-o", tmp_path / "b", cache=tmp_path).returncode == 0
    for album in ("a", "b"):
        run("decode", tmp_path / album, "-m", "jit-nano", "-o", tmp_path / f"{album}.txt")
        assert (tmp_path / f"{album}.txt").read_text(encoding="utf-8") == LINES
    bad = run("encode", tmp_path / "latin.txt", "-m", "jit-nano", "-o", tmp_path / "c")
    assert bad.returncode == 4
    assert "found byte 0xdc at offset 0; expected UTF-8 text. If the encoding is ISO-8859-1: --encoding" in bad.stderr


@pytest.mark.parametrize(
    "command", [("train", "jit-nano"), ("data", "check", "jit-nano"), ("tokenizer", "inspect", "jit-nano")]
)
def test_unknown_encodings_are_usage_errors(tmp_path, command) -> None:
    done = run(*command, "--data", tmp_path, "--encoding", "windows-1522")
    assert done.returncode == 2
    assert "--encoding: found 'windows-1522'; expected an encoding, such as windows-12" in done.stderr


@pytest.mark.parametrize("name", ["a.csv", "a.ZIP", "a.parquet"])
def test_a_text_in_place_of_the_manifest_is_named(name) -> None:
    done = run("train", name)
    assert done.returncode == 2
    assert f"MANIFEST: found a text, '{name}'" in done.stderr
