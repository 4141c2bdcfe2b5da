"""Text files are read strictly and losslessly, and errors name the position."""

import gzip
import os
import tracemalloc

import pytest

from jitkit.data import compression, text_files
from jitkit.data.text_files import find_text_files, read_documents
from jitkit.errors import InputError, RefusedError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 12345\n" % (b"ab" * 32)


def documents(path):
    return [text for file in find_text_files(path) for text in read_documents(file)]


def write(folder, name, data: bytes):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("suffix", [".txt", ".md", ".txt.gz", ".md.gz"])
def test_a_file_is_one_unchanged_document(tmp_path, suffix) -> None:
    text = "a\r\nb\rc\n\n  \u2028d\x00é世\U0001f600\ufeff\n"
    assert documents(write(tmp_path, f"x{suffix}", text.encode())) == [text]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_json_line_is_a_document(tmp_path, suffix) -> None:
    data = b'{"text": "one\\r\\n", "id": 1}\r\n\n{"text": ""}\n{"text": "\xc3\xa9 \\ud83d\\ude00"}'
    assert documents(write(tmp_path, f"x{suffix}", data)) == ["one\r\n", "", "é 😀"]


def test_a_byte_order_mark_is_removed(tmp_path) -> None:
    assert documents(write(tmp_path, "x.txt", b"\xef\xbb\xbfone")) == ["one"]
    assert documents(write(tmp_path, "x.jsonl", b'\xef\xbb\xbf{"text": "one"}')) == ["one"]


def test_a_folder_is_read_in_order_of_names(tmp_path) -> None:
    for name in ("b.txt", "a/z.md", "a/b/c.txt", "Z.txt", "skipped.py", ".hidden.txt", ".git/x.txt"):
        write(tmp_path, name, name.encode())
    assert documents(tmp_path) == ["Z.txt", "a/b/c.txt", "a/z.md", "b.txt"]


def test_loops_of_links_are_harmless(tmp_path) -> None:
    write(tmp_path, "a/x.txt", b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert documents(tmp_path) == ["x"]


BAD = {
    "latin.txt": (
        b"caf\xe9 au lait",
        "latin.txt: found byte 0xe9 at offset 3, not valid UTF-8; expected UTF-8 text. "
        "If the encoding is ISO-8859-1: --encoding ISO-8859-1, or iconv -f ISO-8859-1 -t UTF-8 latin.txt > NEW",
    ),
    "bom.txt": (b"\xef\xbb\xbfab\xff", "byte 0xff at offset 5"),
    "wide.txt": ("wide".encode("utf-16"), "iconv -f UTF-16 -t UTF-8 wide.txt > NEW"),
    "little.txt": (
        "wide open".encode("utf-16-le"),
        "found NUL bytes starting at offset 1; expected UTF-8 text. If the encoding is UTF-16LE",
    ),
    "big.txt": (
        "wide open".encode("utf-16-be"),
        "If the encoding is UTF-16BE: --encoding UTF-16BE, or iconv -f UTF-16BE",
    ),
    "wider.txt": ("wide".encode("utf-32"), "If the encoding is UTF-32: --encoding UTF-32, or iconv -f UTF-32"),
    "quotes.txt": (
        b"\x93caf\xe9\x94 \x97 au lait",
        "If the encoding is WINDOWS-1252: --encoding WINDOWS-1252, or iconv -f WINDOWS-1252 -t UTF-8",
    ),
    "late quotes.txt": (b"caf\xe9" + b" " * 5000 + b"\x97", "iconv -f WINDOWS-1252 -t UTF-8 'late quotes.txt' > NEW"),
    "dos.txt": (b"\x81ber", "not valid UTF-8; expected UTF-8 text. Convert it to UTF-8."),
    "damaged.txt": (
        "Übergrößenträger".encode()[:-5] + b"\xe4ger",
        "Most of it is UTF-8. To drop the invalid bytes: iconv -c",
    ),
    "packed.txt.gz": (
        b"caf\xe9",
        "ISO-8859-1: --encoding ISO-8859-1, or gunzip -c packed.txt.gz | iconv -f ISO-8859-1 -t UTF-8 > NEW",
    ),
    "nul.txt": (bytes(100), "found NUL bytes starting at offset 0; expected UTF-8 text. It appears to be binary data."),
    "hole.txt": (b"x" * 9000 + bytes(8192), "found NUL bytes starting at offset 9000"),
    "tail.txt": (b"x" * 9000 + bytes(600), "found NUL bytes starting at offset 9000"),
    "late.txt": (b"x" * 5000 + "wide open".encode("utf-16-le") * 500, "found NUL bytes starting at offset 5001"),
    "separators.jsonl": ('{"text": "a\u2028b\x85c"}\n3\n'.encode(), "separators.jsonl:2: found 3"),
    "binary.txt": (b"\x7fELF\x02\xff" + bytes(1), "It appears to be binary data."),
    "line.jsonl": (b'{"text": "a"}\n{"text": "\xff"}\n', "line.jsonl:2: found byte 0xff at offset 24"),
    "broken.jsonl": (b'{"text": "a"}\n{"text": \n', "broken.jsonl:2: found invalid JSON ("),
    "deep.jsonl": (b"[" * 100_000, "deep.jsonl:1: found invalid JSON (nested too deeply)"),
    "digits.jsonl": (
        b"9" * 5000,
        "digits.jsonl:1: found invalid JSON (Exceeds the limit (4300 digits) for integer string",
    ),
    "list.jsonl": (b'["a"]', "list.jsonl:1: found ['a']; expected an object"),
    "other.jsonl": (b'{"body": "a"}', "other.jsonl:1: text: found no such key (keys: 'body'); expected a string"),
    "null.jsonl": (b'{"text": null}', "null.jsonl:1: text: found null; expected a string"),
    "number.jsonl": (b'{"text": 3}', "number.jsonl:1: text: found 3; expected a string"),
    "surrogate.jsonl": (b'{"text": "\\ud800"}', "surrogate.jsonl:1: text: found lone surrogate"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_text_is_named_with_its_place(tmp_path, name) -> None:
    data, sentence = BAD[name]
    with pytest.raises(InputError) as caught:
        documents(write(tmp_path, name, data))
    message = str(caught.value).replace(f"{tmp_path}/", "")
    assert message.startswith(name)
    assert len(message) < 300
    assert sentence in message
    assert "\n" not in message


def test_damaged_compression_is_an_error(tmp_path) -> None:
    whole = gzip.compress(os.urandom(1000).hex().encode())
    for data in (whole[:-9], whole[:100], whole[:50] + b"\0\0\0" + whole[53:], b"plain text"):
        path = tmp_path / "x.txt.gz"
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"x\.txt\.gz: found damaged or truncated compression"):
            documents(path)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(text_files, "MAX_DOCUMENT", 1000)
    for name in ("bomb.txt.gz", "bomb.jsonl.gz", "big.txt"):
        with pytest.raises(RefusedError, match="more than 1000 bytes"):
            documents(write(tmp_path, name, b" " * 1001))


@pytest.mark.parametrize("name", ["bomb.txt.gz", "bomb.jsonl.gz"])
def test_the_memory_for_a_compressed_document_depends_on_its_size_on_disk(tmp_path, monkeypatch, name) -> None:
    monkeypatch.setattr(compression, "MIN_EXPANDED", 1000)
    bomb = write(tmp_path, name, b" " * (1 << 24))
    tracemalloc.start()
    with pytest.raises(RefusedError, match=f"more than {100 * bomb.stat().st_size} bytes"):
        documents(bomb)
    assert tracemalloc.get_traced_memory()[1] < 1 << 23
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["x.txt", "x.jsonl", "x.txt.gz"])
def test_a_git_lfs_pointer_is_no_text(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(InputError, match=r"found a Git LFS pointer.*git lfs pull"):
        documents(tmp_path)


def test_text_about_git_lfs_is_text(tmp_path) -> None:
    text = POINTER.decode() + "is what a pointer contains. " * 100
    assert documents(write(tmp_path, "x.txt", text.encode())) == [text]


@pytest.mark.parametrize("name", ["NOVEL.TXT", "Novel.Md", "NOVEL.TXT.GZ", "novel.JSONL"])
def test_suffixes_may_have_upper_case_letters(tmp_path, name) -> None:
    data = b'{"text": "x"}' if "json" in name.lower() else b"x"
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("GZ") else data)
    assert documents(tmp_path) == documents(tmp_path / name) == ["x"]


def test_missing_and_unsuitable_files_are_errors(tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "dangling.txt").symlink_to("nowhere")
    for name, sentence in {
        "absent": "found no such file or folder",
        "empty": r"found no \.txt, \.md or \.jsonl file; expected at least one",
        "pipe.txt": "a special file",
        "dangling.txt": "no such file",
    }.items():
        with pytest.raises(InputError, match=sentence):
            documents(tmp_path / name)
    with pytest.raises(InputError, match=r"suffix '\.csv'; expected a file ending in \.txt"):
        documents(write(tmp_path, "x.csv", b"a"))
