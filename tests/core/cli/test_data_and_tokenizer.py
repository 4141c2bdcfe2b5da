"""`jitkit tokenizer` and `jitkit data` as processes."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def jitkit(tmp_path):
    environment = {**os.environ, "JITKIT_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-c", "from jitkit.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr

    return run


@pytest.fixture
def novel(tmp_path):
    path = tmp_path / "novel.txt"
    path.write_text("It was the best of times, it was the worst of times.\n" * 200, newline="")
    return path


def test_train_and_inspect_a_tokenizer(jitkit, novel, tmp_path) -> None:
    train = ("tokenizer", "train", novel, "--vocab-size", 270, "-o", "x.tiktoken")
    assert json.loads(jitkit(*train, "--json"))["vocab_size"] == 270
    first = (tmp_path / "x.tiktoken").read_bytes()
    assert "found an existing file; expected a new name, or --overwrite" in jitkit(*train, code=2)
    jitkit(*train, "--overwrite")
    assert (tmp_path / "x.tiktoken").read_bytes() == first

    inspect = ("tokenizer", "inspect", "x.tiktoken", "--text", "it was\n\x1b[2J", "--data", novel)
    report = json.loads(jitkit(*inspect, "--json"))
    assert (report["vocab_size"], report["eos_id"], report["pad_id"]) == (270, 268, 269)
    literal, whole = report["texts"]
    assert literal["round_trip"]
    assert whole["round_trip"]
    assert "".join(literal["sample"]) == "it was\n\x1b[2J"
    assert whole["bytes"] == whole["characters"] == 53 * 200
    assert whole["tokens_per_character"] == pytest.approx(whole["tokens"] / whole["characters"], abs=1e-4)
    assert whole["tokens"] < whole["characters"] / 1.5
    assert "\x1b" not in jitkit(*inspect)


def test_inspect_the_tokenizer_of_a_manifest(jitkit) -> None:
    assert json.loads(jitkit("tokenizer", "inspect", "jit-nano", "--json"))["vocab_size"] == 258
    assert json.loads(jitkit("tokenizer", "inspect", "jit-b4", "--json"))["vocab_size"] == 16384
    assert "x.tiktoken: found no such file" in jitkit("tokenizer", "inspect", "x.tiktoken", code=4)


def test_prepare_and_inspect_data(jitkit, novel) -> None:
    first = json.loads(jitkit("data", "prepare", "jit-nano", "--data", novel, "--json"))
    again = json.loads(jitkit("data", "inspect", "jit-nano", "--data", novel, "--json"))
    assert (first["reused"], again["reused"]) == (False, True)
    assert first["fingerprint"] == again["fingerprint"]
    assert first["splits"] == again["splits"]
    train, length = first["splits"]["train"], first["tokens_per_window"]
    assert train["documents"] == 1
    assert train["tokens"] == train["bytes"] + 1
    validation = first["splits"]["validation"]
    assert train["windows"] == train["tokens"] // length
    assert validation["windows"] == -(-validation["tokens"] // length)
    assert again["first_window"]["train"] == novel.read_text()[:length]
    assert jitkit("data", "check", "jit-nano", "--data", novel).endswith(": 2 shards intact\n")
    assert "It was the best of times" in jitkit("data", "inspect", "jit-nano", "--data", novel)
    unpacked = json.loads(jitkit("data", "prepare", "jit-nano", "--data", novel, "--set", "train.pack=false", "--json"))
    assert unpacked["splits"]["train"]["tokens"] % length == 0


def test_the_example_is_a_text_to_train_on(jitkit, tmp_path) -> None:
    text = jitkit("data", "example")
    assert 8_000 < len(text) < 15_000
    (tmp_path / "story.txt").write_text(text)
    facts = json.loads(jitkit("data", "inspect", "jit-nano", "--data", tmp_path / "story.txt", "--json"))
    assert facts["first_window"]["train"] == text[:64]
    assert facts["splits"]["train"]["windows"] > 100
    assert facts["splits"]["validation"]["windows"] > 4


def test_each_data_error_is_one_line(jitkit, tmp_path) -> None:
    (tmp_path / "short.txt").write_text("too short")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "empty").mkdir()
    for name, sentence in {
        "short.txt": "tokens of train text; expected at least 64, one window",
        "latin.txt": "found byte 0xe9 at offset 3, not valid UTF-8",
        "empty": "found no .txt, .md or .jsonl file; expected at least one",
    }.items():
        message = jitkit("data", "prepare", "jit-nano", "--data", name, code=4)
        assert sentence in message
        assert message.count("\n") == 1
