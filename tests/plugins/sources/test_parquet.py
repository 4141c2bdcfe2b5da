"""Parquet: each row is a document, and every error names the file and the row group. Conformance is tested elsewhere."""

import sys

import pytest

from jitkit.errors import InputError, RefusedError, ResourceError
from jitkit.files import Files
from jitkit_plugins.sources import parquet
from jitkit_plugins.sources.parquet import ParquetSource

pa = pytest.importorskip("pyarrow", reason="package of the extra `parquet`")
pq = pytest.importorskip("pyarrow.parquet")

TEXTS = [f"Document {number}." for number in range(1000)]


def write(path, texts=TEXTS, kind=None, name="text", **options) -> None:
    table = pa.table({"id": list(range(len(texts))), name: pa.array(texts, kind or pa.string())})
    pq.write_table(table, path, **{"row_group_size": 300, **options})


def read(folder, path=".", **settings) -> list[str]:
    source = ParquetSource(path=path, **settings).build(Files(folder))
    return [text for block in source.blocks for text in block.documents()]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view()]
)
def test_rows_are_documents_in_order(tmp_path, kind) -> None:
    write(tmp_path / "a.parquet", TEXTS[:700], kind)
    (tmp_path / "b").mkdir()
    write(tmp_path / "b" / "c.PARQUET", TEXTS[700:], kind, compression="zstd")
    (tmp_path / "notes.txt").write_text("skipped")
    assert read(tmp_path) == TEXTS
    assert read(tmp_path, "*.parquet") == TEXTS[:700]
    source = ParquetSource(path=".").build(Files(tmp_path))
    assert [block.number for block in source.blocks] == [0, 1, 2, 0]
    assert all(block.size > 0 for block in source.blocks)


def test_another_column(tmp_path) -> None:
    write(tmp_path / "a.parquet", name="content")
    assert read(tmp_path, column="content") == TEXTS
    with pytest.raises(
        InputError, match=r"a\.parquet: data\.column: found no column 'contents'; expected one of id, content\. Did"
    ):
        read(tmp_path, column="contents")
    with pytest.raises(InputError, match=r"data\.column: found column 'id' of type int64; expected a column of text"):
        read(tmp_path, column="id")


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.binary(), pa.struct({"a": pa.string()})])
def test_a_column_of_another_type_is_an_error(tmp_path, kind) -> None:
    pq.write_table(pa.table({"text": pa.array([None, None], kind)}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: data\.column: found column 'text' of type "):
        read(tmp_path)


def test_null_names_file_row_group_and_row(tmp_path) -> None:
    write(tmp_path / "a.parquet", [*TEXTS[:650], None, *TEXTS[650:]])
    with pytest.raises(
        InputError, match=r"a\.parquet: row group 2, column text: found null in row 50; expected a string"
    ):
        read(tmp_path)


def test_invalid_utf8_names_file_row_group_and_row(tmp_path) -> None:
    array = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\4\0\0\0\10\0\0\0"), pa.py_buffer(b"goodcaf\xe9")]
    )
    pq.write_table(pa.table({"text": array}), tmp_path / "a.parquet")
    with pytest.raises(
        InputError, match=r"a\.parquet: row group 0, column text: found invalid UTF-8 in row 1, at byte 3"
    ):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"plain text\n" * 50, b"PAR1" + b"\xff" * 500 + b"PAR1"])
def test_a_file_that_is_not_parquet_is_an_error(tmp_path, content) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(
        InputError, match=r"a\.parquet: metadata: found damaged or incomplete data \(.*\); expected a Parquet"
    ):
        read(tmp_path)


def test_a_git_lfs_pointer_is_named(tmp_path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(InputError, match="Git LFS pointer"):
        read(tmp_path)


def test_every_truncation_and_damage_is_an_input_error_or_harmless(tmp_path) -> None:
    path = tmp_path / "a.parquet"
    write(path, TEXTS[:50], row_group_size=25)
    data = path.read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"a\.parquet: metadata"):
            read(tmp_path)
    errors = []
    for place in range(0, len(data), 13):
        changed = bytearray(data)
        changed[place] ^= 0x55
        path.write_bytes(changed)
        try:
            read(tmp_path)
        except InputError as error:
            errors += error.problems
    assert len(errors) > 5
    assert {problem.file for problem in errors} == {str(path)}


def test_an_excessive_document_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(parquet, "MAX_DOCUMENT", 10)
    write(tmp_path / "a.parquet", ["short", "x" * 11])
    with pytest.raises(RefusedError, match=r"row group 0, column text: found more than 10 characters in row 1"):
        read(tmp_path)


def test_a_manifest_does_not_read_outside_its_folder(tmp_path) -> None:
    (tmp_path / "inside").mkdir()
    write(tmp_path / "a.parquet")
    (tmp_path / "inside" / "link.parquet").symlink_to(tmp_path / "a.parquet")
    with pytest.raises(RefusedError, match="a link to"):
        read(tmp_path / "inside")
    (tmp_path / "inside" / "link.parquet").unlink()
    with pytest.raises(InputError, match=r"found no \.parquet file"):
        read(tmp_path / "inside")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch) -> None:
    write(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ResourceError, match=r"data\.use: found no package pyarrow.*pip install 'jitkit\[parquet\]'"):
        read(tmp_path)


def test_the_only_column_of_text_needs_no_name(tmp_path) -> None:
    write(tmp_path / "a.parquet", name="body")
    assert read(tmp_path) == TEXTS
    pq.write_table(pa.table({"id": [1], "body": ["x"], "title": ["y"]}), tmp_path / "a.parquet")
    with pytest.raises(
        InputError, match=r"data\.column: found columns id, body, title, and none is named; expected one"
    ):
        read(tmp_path)


def test_nulls_can_be_skipped(tmp_path) -> None:
    write(tmp_path / "a.parquet", [*TEXTS[:650], None, *TEXTS[650:]])
    assert read(tmp_path, nulls="skip") == TEXTS


def test_corpora_of_earlier_versions_are_found_in_the_cache(tmp_path) -> None:
    """Their names are hashes of these values, which must not change."""
    write(tmp_path / "a.parquet")
    source = ParquetSource(path=".").build(Files(tmp_path))
    assert source.identity == ("parquet", str(tmp_path), "text")
    assert repr(source.blocks[0]).endswith(f"number=0, column='text', size={source.blocks[0].size})")
