"""A model is named in the same ways in every command: a file, a run folder, or an exported folder."""

from __future__ import annotations

import pytest

from tests.core.cli.conftest import run

pytestmark = pytest.mark.slow


def test_a_model_may_be_a_file_a_run_folder_or_an_exported_folder(checkpoint, tmp_path):
    exported = tmp_path / "exported"
    done = run("export", checkpoint.parent, "-o", exported)
    first, *sums, last = done.stdout.splitlines()
    assert (first, last) == (f"wrote {exported}", f"next: jitkit generate {exported}")
    assert [line.partition(": ")[0] for line in sums] == [
        f"SHA-256 of {name}" for name in ("README.md", "film-strip.png", "manifest.toml", "model.safetensors")
    ]
    texts = set()
    for model in (checkpoint, checkpoint.parent, exported, exported / "model.safetensors"):
        done = run("generate", model, "--device", "cpu")
        assert done.returncode == 0, done.stderr
        texts.add(done.stdout)
    assert len(texts) == 1


def test_encode_and_decode_take_a_model_or_a_manifest(checkpoint, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Call me Ishmael.")
    for number, (option, model) in enumerate((("-m", checkpoint.parent), ("--checkpoint", checkpoint))):
        album, back = tmp_path / f"album{number}", tmp_path / f"back{number}.txt"
        done = run("encode", text, option, model, "-o", album)
        assert done.returncode == 0, done.stderr
        assert run("decode", album, option, model, "--out", back).returncode == 0
        assert back.read_bytes() == text.read_bytes()
