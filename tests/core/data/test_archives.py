"""Archives are read like the folder that they were made from, and hostile ones are refused."""

import gzip
import io
import random
import struct
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jitkit.data import compression
from jitkit.data.text_files import find_text_files, read_documents, text_size
from jitkit.errors import InputError, JitkitError, RefusedError
from tests.extras import need

TEXTS = {"b/two.txt": "two\r\n", "a.md": "é", "b/lines.jsonl": '{"text": "x"}\n{"text": "y"}\n', "z.TXT": "last"}
SKIPPED = {"b/table.csv": "no", ".hidden.txt": "no", "__MACOSX/._a.txt": "no", "inner.zip": "no", "b/.git/x.txt": "no"}
DOCUMENTS = ["é", "x", "y", "two\r\n", "last"]
NAMES = ["x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.tar.zst", "X.ZIP"]


def packed(name: str, members: dict[str, str], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of the kind in its suffix."""
    file = io.BytesIO()
    if name.lower().endswith(".zip"):
        with zipfile.ZipFile(file, "w", kind) as archive:
            for member, text in members.items():
                archive.writestr(member, text)
        return file.getvalue()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, text in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return compressed(name, file.getvalue())


def compressed(name: str, data: bytes) -> bytes:
    if name.endswith(("gz", "tgz")):
        return gzip.compress(data)
    if name.endswith("zst"):
        need("zstandard")
        import zstandard

        return zstandard.compress(data)
    return data


def write(folder, name: str, members: dict[str, str]):
    path = folder / name
    path.write_bytes(packed(name, members))
    return path


@contextmanager
def peak_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def documents(path) -> list[str]:
    return [text for file in find_text_files(path) for text in read_documents(file)]


@pytest.mark.parametrize("name", NAMES)
def test_members_of_text_are_read_and_nothing_else(tmp_path, name) -> None:
    members = dict(sorted((TEXTS | SKIPPED).items()))
    assert documents(write(tmp_path, name, members)) == DOCUMENTS
    assert documents(tmp_path / name) == DOCUMENTS


def test_a_zip_is_read_in_the_order_of_the_folder(tmp_path) -> None:
    for name, text in TEXTS.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text(text, newline="")
    assert documents(write(tmp_path, "x.zip", TEXTS)) == documents(tmp_path / "folder")


def test_archives_in_a_folder_are_skipped(tmp_path) -> None:
    write(tmp_path, "x.zip", TEXTS)
    (tmp_path / "x.txt").write_text("text")
    assert documents(tmp_path) == ["text"]


def test_links_are_skipped(tmp_path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"{kind.decode()}.txt")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("a.txt")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    (tmp_path / "x.tar").write_bytes(file.getvalue())
    assert documents(tmp_path / "x.tar") == ["x"]
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.txt", "x")
    assert documents(tmp_path / "x.zip") == ["x"]


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
@pytest.mark.parametrize("member", ["../evil.txt", "/etc/evil.txt", "a/../../evil.txt", "C:/evil.txt", "a\nb.txt"])
def test_a_member_outside_of_the_archive_is_refused(tmp_path, name, member) -> None:
    path = write(tmp_path, name, {"good.txt": "good", member: "evil"})
    with pytest.raises(RefusedError, match=rf"{name}: members: found path '.*evil.txt'|a.nb.txt"):
        documents(path)


@pytest.mark.parametrize("name", NAMES[:5])
def test_an_archive_without_text_is_an_error(tmp_path, name) -> None:
    with pytest.raises(InputError, match=r"found no \.txt, \.md or \.jsonl file in the archive"):
        documents(write(tmp_path, name, SKIPPED))


@pytest.mark.parametrize("name", NAMES[:5])
def test_errors_name_the_member(tmp_path, name) -> None:
    path = write(tmp_path, name, {"a b.jsonl": '{"text": "x"}\n{"text": null}\n'})
    with pytest.raises(InputError, match=rf"{name}/a b\.jsonl:2: text: found null"):
        documents(path)
    raw = packed(name, {"l.txt": "cafXX"}, zipfile.ZIP_STORED)
    if name in {"x.zip", "x.tar"}:
        raw = raw.replace(b"cafXX", b"caf\xe9s")
        if name == "x.zip":  # with the checksum that belongs to it
            raw = raw.replace(struct.pack("<I", zlib.crc32(b"cafXX")), struct.pack("<I", zlib.crc32(b"caf\xe9s")))
        path.write_bytes(raw)
        with pytest.raises(
            InputError, match=rf"{name}/l\.txt: found byte 0xe9.*(unzip -p|tar -xOf) \S+ l\.txt \| iconv"
        ):
            documents(path)
        assert list(read_documents(path, "iso8859-1")) == ["cafés"]


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tgz", "x.tar.zst"])
def test_every_truncation_is_an_error(tmp_path, name) -> None:
    noise = random.Random(0).randbytes(700).hex()
    path = write(tmp_path, name, {"a.txt": noise, "b.txt": noise[::-1], "c.bin": noise})
    data = path.read_bytes()
    whole = len(documents(path))
    for length in range(0, len(data) - 1, 89):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=rf"{name}: found (damaged or truncated|no .* in the archive)"):
            documents(path)
    assert whole == 2


def tar_of_blocks() -> tuple[bytes, int]:
    """Return a .tar with a header and a block of text for each of three members, and where they end."""
    raw, end = packed("x.tar", {"a.txt": "a", "b.txt": "b", "c.txt": "c"}), 3 * 2 * 512
    assert not raw[end:].strip(b"\0")
    assert len(raw) > end + 2 * 512
    return raw, end


@pytest.mark.parametrize("name", NAMES[1:5])
def test_a_tar_that_is_cut_before_its_end_mark_is_an_error_also_between_members(tmp_path, name) -> None:
    raw, end = tar_of_blocks()
    for length in range(0, end + 512, 128):
        (tmp_path / name).write_bytes(compressed(name, raw[:length]))
        with pytest.raises(InputError, match=f"{name}: found damaged or truncated data"):
            documents(tmp_path / name)
    for length in (end + 512, end + 1024, len(raw)):
        (tmp_path / name).write_bytes(compressed(name, raw[:length]))
        assert documents(tmp_path / name) == ["a", "b", "c"]


@pytest.mark.parametrize("name", NAMES[1:5])
@pytest.mark.parametrize("header", [bytes(512), b"x" * 512], ids=["an end mark", "a damaged header"])
def test_a_tar_does_not_end_in_front_of_other_members(tmp_path, name, header) -> None:
    raw, _ = tar_of_blocks()
    for start in (1024, 2048):
        (tmp_path / name).write_bytes(compressed(name, raw[:start] + header + raw[start + 512 :]))
        with pytest.raises(InputError, match="damaged or truncated data"):
            documents(tmp_path / name)


@pytest.mark.parametrize("name", NAMES[:5])
def test_every_damage_is_an_error_or_harmless(tmp_path, name) -> None:
    path = write(tmp_path, name, {"a.txt": "some text " * 30, "b.txt": "more text " * 30})
    data, generator, errors = path.read_bytes(), random.Random(1), 0
    for _ in range(60):
        changed = bytearray(data)
        changed[generator.randrange(min(len(data), 2500))] ^= 1 << generator.randrange(8)
        path.write_bytes(changed)
        try:
            documents(path)
        except JitkitError as error:
            assert error.exit_code in {4, 8}  # noqa: PT017
            errors += 1
    assert errors > 5


def test_every_damage_of_the_directory_of_a_zip_is_an_error_or_harmless(tmp_path) -> None:
    path = write(tmp_path, "x.zip", {"a.txt": "text"})
    data, errors = path.read_bytes(), 0
    for bit in range(8 * data.index(b"PK\1\2"), 8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        for read in (documents, text_size):
            try:
                read(path)
            except InputError:
                errors += 1
    assert errors > 5


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar.zst"])
@pytest.mark.parametrize("members", [1, 40])
def test_bombs_are_refused_in_little_memory(tmp_path, monkeypatch, name, members) -> None:
    monkeypatch.setattr(compression, "MIN_EXPANDED", 1 << 16)
    path = write(tmp_path, name, {f"{number:02}.txt": "a" * ((1 << 24) // members) for number in range(members)})
    with (
        peak_below(1 << 23 if name != "x.tar.zst" else 1 << 25),
        pytest.raises(RefusedError, match=r"found more than \d+ bytes"),
    ):
        deque(read_documents(path), maxlen=0)


def test_members_that_overlap_are_refused(tmp_path, monkeypatch) -> None:
    """The bomb of David Fifield: many entries of the directory share the same compressed data."""
    monkeypatch.setattr(compression, "MIN_EXPANDED", 1 << 16)
    data = packed("x.zip", {"a.txt": "a" * (1 << 15)})
    start, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    entry, count = data[start:end], 500
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, count * len(entry), start, 0)
    (tmp_path / "x.zip").write_bytes(data[:start] + entry * count + tail)
    with pytest.raises((RefusedError, InputError), match=r"more than \d+ bytes|[Oo]verlapped entries"):
        deque(read_documents(tmp_path / "x.zip"), maxlen=0)


def test_a_large_header_of_a_tar_is_refused(tmp_path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    (tmp_path / "x.tar").write_bytes(header.tobuf(tarfile.USTAR_FORMAT))
    with pytest.raises(RefusedError, match=r"found a header of 1073741824 bytes"):
        documents(tmp_path / "x.tar")


def test_encrypted_and_unusual_members_are_errors(tmp_path) -> None:
    data = bytearray(packed("x.zip", {"a.txt": "x"}))
    for magic, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(magic) + offset] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.zip: a\.txt: found an encrypted member"):
        documents(tmp_path / "x.zip")
    (tmp_path / "x.zip").write_bytes(packed("x.zip", {"a.txt": "x" * 1000}, zipfile.ZIP_BZIP2))
    with pytest.raises(InputError, match=r"x\.zip: a\.txt: found compression method 12"):
        documents(tmp_path / "x.zip")


@pytest.mark.parametrize("name", ["x.txt.zst", "x.jsonl.zst", "NOVEL.TXT.ZST"])
def test_zstandard_files_are_read_like_gzip_files(tmp_path, name) -> None:
    need("zstandard")
    import zstandard

    text = "one two three " * 50_000
    data = text.encode() if "json" not in name else f'{{"text": "{text}"}}\n'.encode()
    frames = zstandard.compress(data[:99]) + zstandard.compress(data[99:])  # as `pzstd` and `cat` make them
    (tmp_path / name).write_bytes(frames)
    assert documents(tmp_path) == documents(tmp_path / name) == [text]
    for length in range(1, len(frames), 7):
        if length != len(zstandard.compress(data[:99])):
            (tmp_path / name).write_bytes(frames[:length])
            with pytest.raises(InputError, match=r"found damaged or truncated compression.*a complete Zstandard file"):
                documents(tmp_path / name)


def test_a_zstandard_bomb_is_refused_in_little_memory(tmp_path, monkeypatch) -> None:
    need("zstandard")
    import zstandard

    monkeypatch.setattr(compression, "MIN_EXPANDED", 1000)
    (tmp_path / "x.txt.zst").write_bytes(zstandard.compress(bytes(1 << 26)))
    with peak_below(3 << 24), pytest.raises(RefusedError, match="more than"):
        documents(tmp_path / "x.txt.zst")


def test_without_zstandard_the_extra_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    (tmp_path / "x.txt.zst").write_bytes(b"(\xb5/\xfd")
    with pytest.raises(JitkitError, match=r"no package zstandard.*pip install 'jitkit\[zstd\]'") as caught:
        documents(tmp_path / "x.txt.zst")
    assert caught.value.exit_code == 6
