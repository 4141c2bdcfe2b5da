"""Text in other encodings: read if it is named, and otherwise suggested by the error."""

import sys

import pytest

from jitkit.data.encoding_names import encoding_named
from jitkit.data.text_files import read_documents
from jitkit.errors import InputError
from tests.extras import need

ENGLISH = "It was the best of times, it was the worst of times."
FRENCH = "Le cœur a ses raisons que la raison ne connaît point; on le sait en mille choses. "
GERMAN = "Übergrößenträger sind schön, und die Bäume blühen früh im Jahr. "
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
POLISH = "Zażółć gęślą jaźń, powiedział stary człowiek, który mieszkał nad rzeką. "
RUSSIAN = "Это русский текст для проверки, и он достаточно длинный. "


@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", RUSSIAN),
        ("utf-16", RUSSIAN),
        ("utf-16-le", JAPANESE),
        ("utf-16-be", ENGLISH),
        ("utf-32", JAPANESE),
        ("cp1252", FRENCH),
        ("iso8859-1", GERMAN),
        ("cp1250", POLISH),
        ("shift_jis", JAPANESE),
        ("gb18030", JAPANESE + "\U0001f600"),
    ],
)
def test_a_text_is_the_same_in_every_encoding(tmp_path, encoding, text, suffix) -> None:
    text = f"{text}\r\nline two\n" * 3000  # larger than a piece, which then ends inside characters
    content = text if suffix == ".txt" else '{"text": ' + repr(text).replace("'", '"') + "}\n" + '{"text": "b"}\n'
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content.encode(encoding))
    assert list(read_documents(path, encoding)) == ([text] if suffix == ".txt" else [text, "b"])


def test_a_byte_order_mark_is_removed_in_every_encoding(tmp_path) -> None:
    for encoding in ("utf-16-le", "utf-16", "utf-8-sig", "utf-8"):
        (tmp_path / "x.txt").write_bytes("\ufeffone\ufeff".encode(encoding))
        assert list(read_documents(tmp_path / "x.txt", encoding)) == ["one\ufeff"], encoding


@pytest.mark.parametrize(
    ("encoding", "data", "sentence"),
    [
        ("ascii", b"caf\xe9", r"byte 0xe9 at offset 3, not valid ASCII; expected ASCII text"),
        ("cp1252", b"x" * 100_000 + b"\x81", r"byte 0x81 at offset 100000, not valid CP1252"),
        ("utf-16-le", b"a\0b", r"byte 0x62 at offset 2, not valid UTF-16-LE"),
        ("utf-8-sig", b"x" * 65_535 + b"\xc3\x28", r"byte 0xc3 at offset 65535, not valid UTF-8-SIG"),
        ("iso8859-1", "wide open".encode("utf-16-le"), r"NUL bytes.*If the encoding is UTF-16LE"),
        ("utf-16", b"wide", r"no byte order mark; expected UTF-16 text.*--encoding utf-16-le"),
        ("utf-7", b"+2AA-", r"lone surrogate \\ud800|not valid UTF-7"),
    ],
)
def test_bytes_that_the_encoding_does_not_have_are_named(tmp_path, encoding, data, sentence) -> None:
    (tmp_path / "x.txt").write_bytes(data)
    with pytest.raises(InputError, match=rf"x\.txt: found {sentence}|x\.txt:.*{sentence}"):
        list(read_documents(tmp_path / "x.txt", encoding))


@pytest.mark.parametrize(
    ("encoding", "text", "named"),
    [
        ("cp1252", FRENCH, "WINDOWS-1252"),
        ("iso8859-1", GERMAN, "ISO-8859-1"),
        ("cp1250", POLISH, "CP1250"),
        ("koi8-r", RUSSIAN, "KOI8-R"),
        ("cp1251", RUSSIAN, "CP1251"),
        ("shift_jis", JAPANESE, "CP932"),
        ("utf-16", RUSSIAN, "UTF-16"),
        ("utf-16-be", ENGLISH, "UTF-16BE"),
    ],
)
def test_the_error_names_the_encoding_which_then_reads_the_text(tmp_path, encoding, text, named) -> None:
    need("charset_normalizer")
    (tmp_path / "x.txt").write_bytes((text * 20).encode(encoding))
    with pytest.raises(InputError, match=rf"not valid UTF-8|NUL bytes.*If the encoding is {named}: ") as caught:
        list(read_documents(tmp_path / "x.txt"))
    suggested = str(caught.value).partition("--encoding ")[2].partition(",")[0]
    assert suggested == named
    assert list(read_documents(tmp_path / "x.txt", encoding_named(suggested))) == [text * 20]


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "charset_normalizer", None)
    (tmp_path / "x.txt").write_bytes((POLISH * 20).encode("cp1250"))
    with pytest.raises(InputError, match=r"If the encoding is WINDOWS-1252.*pip install 'jitkit\[encodings\]'"):
        list(read_documents(tmp_path / "x.txt"))


def test_only_encodings_of_text_are_known() -> None:
    assert encoding_named("UTF8") == encoding_named("utf-8") == "utf-8"
    assert encoding_named("Windows-1252") == encoding_named("1252") == "cp1252"
    assert encoding_named("latin1") == "iso8859-1"
    with pytest.raises(ValueError, match="such as latin1"):
        encoding_named("latn1")
    for name in ("rot13", "zip", "base64", "hex", "unicode_escape", "idna", "mbcs", "os", "../x", "", "\0"):
        with pytest.raises(ValueError, match="an encoding, such as"):
            encoding_named(name)
