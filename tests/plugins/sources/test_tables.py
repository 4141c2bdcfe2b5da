"""CSV and TSV: each row is a document, and every error names the file and the line. Conformance is tested elsewhere."""

import csv
import gzip
import tracemalloc

import pytest

from jitkit.data.prepare import prepare
from jitkit.errors import InputError, RefusedError
from jitkit.files import Files
from jitkit_plugins.sources import tables
from jitkit_plugins.sources.tables import CsvSource, TsvSource
from jitkit_plugins.tokenizers.bytes import BytesTokenizer

TEXTS = ["one", 'a "quoted" word', "two\nlines", "comma, tab\t, and ; more", "\r\n", "é \U0001f600", " "]


def write(path, rows, delimiter: str = ",", encoding: str = "utf-8") -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def read(folder, kind=CsvSource, path=".", **settings) -> list[str]:
    source = kind(path=path, **settings).build(Files(folder))
    return [text for block in source.blocks for text in block.documents()]


@pytest.mark.parametrize(("kind", "name", "delimiter"), [(CsvSource, "a.csv", ","), (TsvSource, "a.TSV", "\t")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_rows_are_documents_in_order(tmp_path, kind, name, delimiter, encoding) -> None:
    write(
        tmp_path / name,
        [("id", "text", "other"), *((n, text, "x") for n, text in enumerate(TEXTS))],
        delimiter,
        encoding,
    )
    given = (
        {} if encoding == "utf-8-sig" else {"encoding": encoding}
    )  # a byte order mark is no part of the first column
    assert read(tmp_path, kind, **given) == TEXTS
    assert read(tmp_path, kind, column="id", **given) == [str(number) for number in range(len(TEXTS))]


def test_compressed_tables_and_other_delimiters_are_read(tmp_path) -> None:
    write(tmp_path / "a.csv", [("id", "text"), *enumerate(TEXTS)], ";")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    assert read(tmp_path, delimiter=";") == TEXTS * 2


def test_quotes_may_be_ordinary_characters(tmp_path) -> None:
    (tmp_path / "a.tsv").write_text('text\n5" disk\n"open\n')
    assert read(tmp_path, TsvSource, quoted=False) == ['5" disk', '"open']


def test_the_only_column_needs_no_name(tmp_path) -> None:
    (tmp_path / "a.csv").write_text("body\none\n\ntwo\n")  # a blank line is no row
    assert read(tmp_path) == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "settings", "sentence"),
    [
        ("id,body\n1,x\n", {}, r"a\.csv: data\.column: found columns id, body, and none is named; expected one with text\. Name"),
        ("id,body\n1,x\n", {"column": "bodi"}, r"found no column 'bodi'; expected one of id, body\. Did you mean body\?"),
        ("", {}, r"a\.csv: data\.column: found no column; expected one with text"),
        ("text,text\na,b\n", {}, r"a\.csv:1: data\.column: found two columns 'text'"),
        ("id,text\n1,x\n2,\n", {}, r"a\.csv:3: column text: found an empty cell; expected a string\. .*data\.nulls=skip"),
        ('id,text\n1,"x\ny"\n2,""\n', {}, r"a\.csv:4: column text: found an empty cell"),
        ("id,text\n1,x\n2\n", {}, r"a\.csv:3: found 1 cell; expected 2, as in the first row"),
        ("id,text\n1,a, b\n", {}, r"a\.csv:2: found 3 cells; expected 2"),
        ('id,text\n1,x\n2,"y', {}, r"a\.csv:3: found invalid CSV \(unexpected end of data\).*data\.quoted=false"),
        ('id,text\n1,"x"y\n', {}, r"a\.csv:2: found invalid CSV"),
        (b"id,text\n1,caf\xe9\n", {}, r"a\.csv:2: found byte 0xe9 at offset 13, not valid UTF-8"),
        (b"id,text\n1,caf\x81\n", {"encoding": "cp1252"}, r"a\.csv: found byte 0x81 at offset 13, not valid CP1252"),
        (b"PK\3\4" + bytes(500), {}, r"a\.csv:1: found NUL bytes"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", {}, "Git LFS pointer"),
    ],
)  # fmt: skip
def test_bad_tables_are_errors(tmp_path, content, settings, sentence) -> None:
    (tmp_path / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, **settings)


def test_empty_cells_can_be_skipped(tmp_path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,x\n2,\n3,""\n4,y\n')
    assert read(tmp_path, nulls="skip") == ["x", "y"]


def test_a_quote_that_is_not_closed_does_not_fill_the_memory(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tables, "MAX_CELL", 1 << 18)
    with (tmp_path / "a.csv").open("w") as file:
        file.write('id,text\n1,"x\n')
        file.writelines(f"{number},some text of a row\n" for number in range(100_000))
    tracemalloc.start()
    with pytest.raises(RefusedError, match=rf"a\.csv:2: found more than {tables.MAX_CELL} characters in a cell"):
        read(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 21
    tracemalloc.stop()


def test_memory_does_not_grow_with_the_table(tmp_path) -> None:
    def peak(num_rows: int) -> int:
        write(tmp_path / "a.csv", [("id", "text"), *((n, "a text of some length " * 20) for n in range(num_rows))])
        block = CsvSource(path=".").build(Files(tmp_path)).blocks[0]
        tracemalloc.start()
        assert sum(1 for _ in block.documents()) == num_rows
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)
    assert peak(8000) < peak(800) + (1 << 18)


def test_the_prepared_text_depends_on_how_a_table_is_read(tmp_path) -> None:
    rows = [("text", "other", "x;y"), *((f"a text {n}", f"another {n}", f"{n};{n}") for n in range(200))]
    write(tmp_path / "a.csv", rows)
    tokenizer = BytesTokenizer().build(Files(tmp_path))
    folders = {}
    for settings in ({}, {"column": "text"}, {"column": "other"}, {"validation_fraction": 0.2}, {"encoding": "utf-16"}):
        source = CsvSource(path=".", **{"validation_fraction": 0.1, **settings}).build(Files(tmp_path))
        try:
            folders[str(settings)] = prepare(source, tokenizer, cache=tmp_path / "cache").folder
        except InputError:
            assert settings == {"encoding": "utf-16"}, "the text is in UTF-8, and the shards of it are not used"
    assert len(set(folders.values())) == 4


def test_a_changed_table_is_noticed(tmp_path) -> None:
    tokenizer = BytesTokenizer().build(Files(tmp_path))
    for number in (1, 2):
        write(tmp_path / "a.csv", [("text",), *((f"text {n * number}",) for n in range(500 * number))])
        source = CsvSource(path=".").build(Files(tmp_path))
        if number == 2:
            with pytest.raises(InputError, match="jitkit data prepare"):
                prepare(source, tokenizer, cache=tmp_path / "cache")
        else:
            prepare(source, tokenizer, cache=tmp_path / "cache")
