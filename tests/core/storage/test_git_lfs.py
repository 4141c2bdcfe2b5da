"""A clone without `git lfs pull` has small text files in place of large ones. Every reader recognizes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jitkit.checkpoints.open import open_model
from jitkit.data.text_files import read_documents
from jitkit.errors import JitkitError
from jitkit.files import Files
from jitkit.manifest.reader import read_manifest
from jitkit.storage.png import read_picture
from jitkit.tokenization.ranks import parse_ranks
from jitkit_plugins.codecs.table import Table
from jitkit_plugins.sources.text8 import Text8Source
from tests.tiny import tiny_toml

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"ab" * 32)


def open_weights(path: Path) -> object:
    values = f'{{file="{path.name}", sha256="{"0" * 64}"}}'
    (path.parent / "manifest.toml").write_text(tiny_toml(f"weights={values}"))
    return open_model(path)


READERS: dict[str, Callable[[Path], object]] = {
    "text.txt": lambda path: list(read_documents(path)),
    "text.txt.gz": lambda path: list(read_documents(path)),
    "text.jsonl": lambda path: list(read_documents(path)),
    "text8": lambda path: Text8Source(path="text8").build(Files(path.parent)).fingerprint(),
    "words.tiktoken": lambda path: parse_ranks(path.read_bytes(), path),
    "table.png": lambda path: Table(file="table.png").build(258, 16, 4, Files(path.parent)),
    "picture.png": lambda path: read_picture(path, 16),
    "model.pth": open_model,
    "model.safetensors": open_weights,
    "manifest.toml": read_manifest,
}


@pytest.mark.parametrize("name", READERS)
def test_a_pointer_is_recognized(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(POINTER)
    with pytest.raises(
        JitkitError, match=rf"{name}: .*found a Git LFS pointer.*`git lfs pull` downloads the file"
    ) as caught:
        READERS[name](path)
    assert caught.value.exit_code in {3, 4}
