"""Splits are disjoint, never empty, and depend on the documents alone."""

import zipfile

import hypothesis.strategies as st
import pytest
from hypothesis import given

from jitkit.data.split import SplitDocuments
from jitkit.errors import InputError
from jitkit.files import Files
from jitkit_plugins.sources.text import TextSource

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


def split(documents: list[str], fraction: float = 0.1) -> SplitDocuments:
    return SplitDocuments(lambda: iter(documents), fraction, origin="x")


@given(st.lists(TEXT, max_size=30), st.floats(0.001, 0.5))
def test_documents_are_never_divided_between_splits(documents: list[str], fraction: float) -> None:
    nonempty = [text for text in documents if text]
    if len({*nonempty}) < 2:
        return
    source = split(documents, fraction)
    train, validation = list(source.documents("train")), list(source.documents("validation"))
    assert train
    assert validation
    assert not {*train} & {*validation}, "copies of a document stay together"
    assert sorted(train + validation) == sorted(nonempty), "nothing is lost"
    held_out, total = sum(map(len, validation)), sum(map(len, nonempty))
    shortest = min(len(text) * nonempty.count(text) for text in nonempty)
    assert held_out <= max(fraction * total, shortest)


def test_validation_nearly_fills_its_fraction() -> None:
    documents = [f"document {number} " * (1 + number % 7) for number in range(500)]
    total = sum(map(len, documents))
    for fraction in (0.02, 0.05, 0.2, 0.5):
        held_out = sum(map(len, split(documents, fraction).documents("validation")))
        assert fraction * total - 20 <= held_out <= fraction * total


def test_the_held_out_documents_do_not_depend_on_the_order() -> None:
    documents = [f"document {number}" for number in range(100)]
    assert {*split(documents).documents("validation")} == {*split(documents[::-1]).documents("validation")}


@given(TEXT.filter(lambda text: len(text) > 1), st.floats(0.001, 0.5))
def test_a_single_document_is_cut_into_two_blocks(text: str, fraction: float) -> None:
    source = split(["", text], fraction)
    [train], [validation] = source.documents("train"), source.documents("validation")
    assert train
    assert validation
    assert text.startswith(train)
    assert text.endswith(validation)
    assert len(train) + len(validation) <= len(text)


def test_there_is_a_gap_between_the_blocks() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    [train], [validation] = split([text], 0.25).documents("train"), split([text], 0.25).documents("validation")
    assert len(validation) == 5000
    assert len(train) == 20_000 - 5000 - 200
    assert len(next(split(["a" * 500_000]).documents("train"))) == 450_000 - 1024


def test_copies_of_one_document_count_as_one() -> None:
    assert list(split(["abcdefghij"] * 3).documents("train")) == ["abcdefghi"]


@pytest.mark.parametrize("documents", [[], [""], ["a"]])
def test_no_text_is_an_error(documents: list[str]) -> None:
    with pytest.raises(InputError, match=r"x: found .* documents? with . characters?; expected text to train on"):
        list(split(documents).documents("train"))


def test_the_fingerprint_depends_on_documents_and_split() -> None:
    variants = [
        split(["ab", "cd"]),
        split(["cd", "ab"]),
        split(["a", "bcd"]),
        split(["abcd"]),
        split(["ab", "cd", "cd"]),
        split(["ab", "cd"], 0.2),
    ]
    assert len({source.fingerprint() for source in variants}) == len(variants)
    assert split(["ab", "cd"]).fingerprint() == split(["ab", "cd"]).fingerprint()


@pytest.mark.parametrize("documents", [["one", "two", "three"], ["the only document"]])
@pytest.mark.parametrize("number", [0, -1])
def test_text_that_changes_after_the_survey_is_an_error(documents: list[str], number: int) -> None:
    texts = list(documents)
    source = SplitDocuments(lambda: iter(texts), 0.1, origin="x")
    source.fingerprint()
    texts[number] = "other"
    for name in ("train", "validation"):
        with pytest.raises(InputError, match="x: found text that changed while it was read; expected the same text"):
            list(source.documents(name))


def test_controls_of_a_wrong_conversion_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    wrong = "“Café” – naïve…".encode("cp1252").decode("latin-1")
    list(split(["plain", wrong, "naïve", wrong]).documents("train"))
    [record] = caplog.records
    assert "x: found 8 control characters from U+0080 to U+009F" in record.getMessage()
    assert wrong.encode("latin-1").decode("cp1252") == "“Café” – naïve…"  # as the hint repairs it


def test_progress_has_the_total_of_all_files(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("c.txt", "é" * 5000)
        archive.writestr("c.bin", "x" * 9999)
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("text " * 1000 * (number + 1))
    for path, total in ((".", 30_000), ("b.zip", 10_000)):
        calls = []
        source = TextSource(path=path).build(Files(tmp_path))
        source.scan(lambda *call, calls=calls: calls.append(call))
        assert calls[-1] == ("reading text", total, total)
        assert source.num_bytes == total
        assert {of for _, _, of in calls} == {total}
        source.scan(lambda *call: pytest.fail("it is read once"))
