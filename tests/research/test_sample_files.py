"""The files that the scores in `research/` read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jitkit.errors import InputError
from research.sample_files import read_samples, read_text


def written(folder: Path, content: object) -> Path:
    path = folder / "texts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_texts_of_generate_and_of_competitors_are_read(tmp_path: Path) -> None:
    assert read_samples(written(tmp_path, {"texts": [{"text": "a", "seed": 0}]})) == {"": ["a"]}
    results = {"training": {"parameters": 3}, "2 texts": {"texts": ["a", "b"]}, "2 windows": 0.5}
    assert read_samples(written(tmp_path, results)) == {"2 texts": ["a", "b"]}


@pytest.mark.parametrize("content", ["{", "3", "[]", "{}", '{"texts": 3}', '{"texts": [{}]}', '{"a": {"texts": null}}'])
def test_other_files_are_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match="expected a JSON file of"):
        read_samples(written(tmp_path, content))


def test_text_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"\xff")
    with pytest.raises(InputError, match="UTF-8"):
        read_text(tmp_path / "text")


@pytest.mark.parametrize("arguments", [["ngram_score", "."], ["grammar_score", "."], ["grammar_score", "nowhere"]])
def test_a_wrong_path_is_one_line(arguments: list[str]) -> None:
    command = [sys.executable, "-m", f"research.{arguments[0]}", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1, done.stderr
