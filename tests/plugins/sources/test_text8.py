"""text8 with the standard split."""

from __future__ import annotations

import pytest

from jitkit.errors import InputError
from jitkit.files import Files
from jitkit_plugins.sources.text8 import Text8Source


@pytest.mark.parametrize("held_out", ["validation", "test"])
def test_the_splits_are_consecutive(tmp_path, held_out):
    (tmp_path / "text8").write_bytes(b"a" * 90 + b"b" * 5 + b"c" * 5)
    source = Text8Source(path="text8", held_out=held_out, sizes=(90, 5, 5)).build(Files(tmp_path))
    assert list(source.documents("train")) == ["a" * 90]
    assert list(source.documents("validation")) == [{"validation": "b", "test": "c"}[held_out] * 5]


def test_the_standard_sizes_are_the_default():
    assert Text8Source(path="text8").sizes == (90_000_000, 5_000_000, 5_000_000)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"a" * 99, "99 bytes"),
        (b"a" * 60 + b"A" + b"a" * 39, "byte 0x41 at offset 60"),
        (b"a" * 99 + b"\n", "byte 0x0a at offset 99"),
        (None, "no such file"),
    ],
)
def test_another_file_is_an_error(tmp_path, data, found):
    if data is not None:
        (tmp_path / "text8").write_bytes(data)
    source = Text8Source(path="text8", sizes=(90, 5, 5)).build(Files(tmp_path))
    with pytest.raises(InputError, match=found) as error:
        list(source.documents("train"))
    assert "expected text8, 100 symbols of a to z and space" in str(error.value)


def test_the_fingerprint_depends_on_text_and_split(tmp_path):
    def fingerprint(data, **options):
        (tmp_path / "text8").write_bytes(data)
        return Text8Source(path="text8", sizes=(90, 5, 5), **options).build(Files(tmp_path)).fingerprint()

    prints = {fingerprint(b"a" * 100), fingerprint(b"a" * 99 + b"b"), fingerprint(b"a" * 100, held_out="test")}
    assert len(prints) == 3
    assert fingerprint(b"a" * 100) in prints
