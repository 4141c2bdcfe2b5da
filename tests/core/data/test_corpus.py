"""Corpora: their split by hash, and preparation in groups of blocks by any number of processes."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitkit.data import corpus as corpus_module
from jitkit.data.check import check_prepared
from jitkit.data.corpus import Corpus, grouped
from jitkit.data.preparation import Workers
from jitkit.data.prepare import Part, Unfinished, prepare, prepare_part
from jitkit.errors import InputError
from jitkit.files import Files
from jitkit_plugins.tokenizers.bytes import BytesTokenizer

BUILD = partial(BytesTokenizer().build, Files(Path()))
TOKENIZER = BUILD()
NUM_FILES = 5


@dataclass(frozen=True)
class Lines:
    """A file of one document per line, as a block."""

    file: Path
    size: int

    def documents(self) -> Iterator[str]:
        return iter(self.file.read_text().split("\n"))


def blocks_of(files: list[Path]) -> list[Lines]:
    return [Lines(file, file.stat().st_size) for file in files]


def corpus_at(folder: Path, fraction: float = 0.2) -> Corpus:
    files = sorted(folder.glob("*.txt"))
    return Corpus(files, partial(blocks_of, files), fraction, ("lines", str(folder)), origin=str(folder))


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A corpus of several files, each of which becomes a pair of shards."""
    monkeypatch.setattr(corpus_module, "MIN_GROUP", 1)
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(NUM_FILES):
        lines = [f"line {line} of file {number}, " * (line % 7 + 1) for line in range(30 + number)]
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_documents_are_held_out_by_hash(folder) -> None:
    source = corpus_at(folder)
    train, validation = (list(source.documents(split)) for split in ("train", "validation"))
    assert 0.1 * (len(train) + len(validation)) < len(validation) < 0.3 * (len(train) + len(validation))
    more = set(corpus_at(folder, 0.4).documents("validation"))
    assert set(validation) < more, "with a larger fraction, the same documents stay held out"
    whole = [text for block in source.blocks for text in block.documents()]
    assert sorted(train + validation) == sorted(whole)


@given(sizes=st.lists(st.integers(0, 50), max_size=40))
def test_blocks_are_grouped_in_order(sizes) -> None:
    blocks = [Lines(Path(str(number)), size << 20) for number, size in enumerate(sizes)]
    groups = grouped(blocks)
    assert [block for group in groups for block in group] == blocks
    assert all(sum(block.size for block in group) >= corpus_module.MIN_GROUP for group in groups[:-1])
    assert all(sum(block.size for block in group[:-1]) < corpus_module.MIN_GROUP for group in groups)


def test_a_huge_corpus_has_a_limited_number_of_shards() -> None:
    blocks = [Lines(Path(str(number)), 1 << 28) for number in range(20_000)]
    assert 500 <= len(grouped(blocks)) <= 1024


def test_a_corpus_becomes_a_pair_of_shards_per_group(folder, tmp_path) -> None:
    source = corpus_at(folder)
    prepared = prepare(source, TOKENIZER, cache=tmp_path / "cache")
    assert prepared.num_shards == NUM_FILES
    for split in ("train", "validation"):
        expected = [token for text in source.documents(split) for token in [*text.encode(), TOKENIZER.eos_id]]
        stream = getattr(prepared, split)
        assert stream.tokens[:].tolist() == expected
        assert stream.num_documents == expected.count(TOKENIZER.eos_id)
    assert prepare(source, TOKENIZER, cache=tmp_path / "cache").reused


@pytest.mark.slow
def test_bytes_do_not_depend_on_workers_or_parts(folder, tmp_path) -> None:
    source, calls = corpus_at(folder), []
    expected = prepare(source, TOKENIZER, cache=tmp_path / "1")
    two = prepare(
        source, TOKENIZER, cache=tmp_path / "2", workers=Workers(2, BUILD), progress=lambda *call: calls.append(call)
    )
    total = sum(block.size for block in source.blocks)
    assert calls[-1] == ("tokenizing text", total, total)
    first = prepare_part(source, TOKENIZER, Part(2, 2), cache=tmp_path / "3")
    assert isinstance(first, Unfinished)
    assert (first.num_made, first.num_shards) == (NUM_FILES // 2, NUM_FILES)
    parts = prepare_part(source, TOKENIZER, Part(1, 2), cache=tmp_path / "3", workers=Workers(3, BUILD))
    assert not isinstance(parts, Unfinished)
    assert content(two.folder) == content(parts.folder) == content(expected.folder)
    assert expected.fingerprint == two.fingerprint == parts.fingerprint
    left = sorted(path.suffix for path in (tmp_path / "3").iterdir())
    assert left == ["", ".lock"]


def test_parts_alone_equal_the_whole(folder, tmp_path) -> None:
    expected = prepare(corpus_at(folder), TOKENIZER, cache=tmp_path / "1")
    results = [
        prepare_part(corpus_at(folder), TOKENIZER, Part(number, 7), cache=tmp_path / "2")
        for number in (7, 3, 2, 5, 1, 4)
    ]
    assert [isinstance(result, Unfinished) for result in results] == [True] * 5 + [False]
    assert content(results[-1].folder) == content(expected.folder)
    again = prepare_part(corpus_at(folder), TOKENIZER, Part(6, 7), cache=tmp_path / "2")
    assert again.reused


def test_a_part_whose_file_has_changed_since_is_unfinished(folder, tmp_path) -> None:
    cache = tmp_path / "cache"
    prepare_part(corpus_at(folder), TOKENIZER, Part(2, 2), cache=cache)
    (folder / "1.txt").write_text("another text\n" * 40)
    done = prepare_part(corpus_at(folder), TOKENIZER, Part(1, 2), cache=cache)
    assert isinstance(done, Unfinished)
    assert (done.num_made, done.num_shards) == (NUM_FILES - 1, NUM_FILES)
    after = prepare_part(corpus_at(folder), TOKENIZER, Part(2, 2), cache=cache)
    assert content(after.folder) == content(prepare(corpus_at(folder), TOKENIZER, cache=tmp_path / "other").folder)


def test_a_file_that_changes_after_its_shards_were_made_never_enters_the_cache(folder, tmp_path) -> None:
    @dataclass(frozen=True)
    class Changing(Lines):
        def documents(self):
            if self.file != files[0]:
                os.utime(files[0], ns=(self.size, self.size))
            yield from super().documents()

    files = sorted(folder.iterdir())
    source = Corpus(files, lambda: [Changing(file, at) for at, file in enumerate(files, 1)], 0.2, ("x",), origin="x")
    with pytest.raises(InputError, match="data: found text that changed while it was read"):
        prepare(source, TOKENIZER, cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*/index.json"))


def test_a_whole_text_is_in_the_first_part(tmp_path) -> None:
    from tests.core.data.test_shards import source

    assert isinstance(prepare_part(source(), TOKENIZER, Part(2, 2), cache=tmp_path), Unfinished)
    done = prepare_part(source(), TOKENIZER, Part(1, 2), cache=tmp_path)
    assert prepare(source(), TOKENIZER, cache=tmp_path).fingerprint == done.fingerprint


def test_a_file_that_changed_is_noticed_and_only_it_is_prepared_again(folder, tmp_path, caplog) -> None:
    cache = tmp_path / "cache"
    before = prepare(corpus_at(folder), TOKENIZER, cache=cache)
    old = {path.name: path.stat().st_ino for path in before.folder.glob("*.bin")}
    (folder / "3.txt").write_text("another text\n" * 40)
    with pytest.raises(
        InputError, match=r"3\.txt: found 520 bytes modified .*; expected .* as when it was prepared.*data"
    ):
        prepare(corpus_at(folder), TOKENIZER, cache=cache)
    after = prepare(corpus_at(folder), TOKENIZER, cache=cache, refresh=True)
    assert "3.txt: found 520 bytes" in caplog.text
    assert not after.reused
    new = {path.name: path.stat().st_ino for path in after.folder.glob("*.bin")}
    changed = {name for name in new if new[name] != old[name]}
    assert changed == {"train-00003.bin", "validation-00003.bin"}
    assert content(after.folder) == content(prepare(corpus_at(folder), TOKENIZER, cache=tmp_path / "other").folder)


def test_a_file_that_was_only_touched_is_read_but_not_tokenized(folder, tmp_path) -> None:
    before = prepare(corpus_at(folder), TOKENIZER, cache=tmp_path)
    old = {path.name: path.stat().st_ino for path in before.folder.glob("*.bin")}
    os.utime(folder / "2.txt", ns=(1, 1))
    with pytest.raises(InputError, match=r"2\.txt: found .* modified 1970"):
        prepare(corpus_at(folder), TOKENIZER, cache=tmp_path)
    after = prepare(corpus_at(folder), TOKENIZER, cache=tmp_path, refresh=True)
    assert {path.name: path.stat().st_ino for path in after.folder.glob("*.bin")} == old
    assert prepare(corpus_at(folder), TOKENIZER, cache=tmp_path).reused


@pytest.mark.parametrize(
    ("change", "found"), [("add", "6.txt: found a new file"), ("remove", "4.txt: found no such file")]
)
def test_another_number_of_files_is_noticed(folder, tmp_path, change, found) -> None:
    cache = tmp_path / "cache"
    prepare(corpus_at(folder), TOKENIZER, cache=cache)
    if change == "add":
        (folder / "6.txt").write_text("more")
    else:
        (folder / "4.txt").unlink()
    with pytest.raises(InputError, match=found):
        prepare(corpus_at(folder), TOKENIZER, cache=cache)
    after = prepare(corpus_at(folder), TOKENIZER, cache=cache, refresh=True)
    assert content(after.folder) == content(prepare(corpus_at(folder), TOKENIZER, cache=tmp_path / "other").folder)


def test_a_file_that_changes_while_it_is_read_never_enters_the_cache(folder, tmp_path) -> None:
    @dataclass(frozen=True)
    class Changing(Lines):
        def documents(self):
            yield from super().documents()
            os.utime(self.file, ns=(1, 1))

    files = sorted(folder.iterdir())
    source = Corpus(files, lambda: [Changing(file, 10) for file in files], 0.2, ("changing",), origin="x")
    with pytest.raises(InputError, match=r"0\.txt: found text that changed while it was read"):
        prepare(source, TOKENIZER, cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_finished_shards_survive_a_failure(folder, tmp_path) -> None:
    cache, bad = tmp_path / "cache", folder / "3.txt"
    good = bad.read_bytes()
    bad.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        prepare(corpus_at(folder), TOKENIZER, cache=cache)
    [partial_folder] = cache.glob("*.partial")
    old = {path.name: path.stat().st_ino for path in partial_folder.glob("*.bin")}
    assert len(old) == 6
    bad.write_bytes(good)
    after = prepare(corpus_at(folder), TOKENIZER, cache=cache)
    assert old.items() <= {path.name: path.stat().st_ino for path in after.folder.glob("*.bin")}.items()
    assert content(after.folder) == content(prepare(corpus_at(folder), TOKENIZER, cache=tmp_path / "other").folder)


def test_an_empty_split_says_what_to_change(folder, tmp_path) -> None:
    with pytest.raises(InputError, match=r"found no validation document; expected at least one.*validation_fraction"):
        prepare(corpus_at(folder, 1e-9), TOKENIZER, cache=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_check_reports_every_damage_and_change(folder, tmp_path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(InputError, match=r"found no prepared text.*jitkit data prepare"):
        check_prepared(corpus_at(folder), TOKENIZER, cache=cache)
    prepared = prepare(corpus_at(folder), TOKENIZER, cache=cache)
    checked = check_prepared(corpus_at(folder), TOKENIZER, cache=cache)
    assert (checked.num_shards, checked.num_files) == (2 * NUM_FILES, NUM_FILES)
    for name in ("train-00001.bin", "validation-00004.bin"):
        data = bytearray((prepared.folder / name).read_bytes())
        data[7] ^= 1
        (prepared.folder / name).write_bytes(data)
    path = folder / "2.txt"
    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b"line 3", b"lime 3"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # neither its size nor its time shows the change
    with pytest.raises(InputError) as caught:
        check_prepared(corpus_at(folder), TOKENIZER, cache=cache)
    assert [Path(problem.file).name for problem in caught.value.problems] == [
        *("train-00001.bin", "validation-00004.bin", "2.txt")
    ]


def test_a_large_cache_is_opened_without_reading_it(folder, tmp_path, monkeypatch, caplog) -> None:
    """Damage without a change of size is found by the check, and ids above the vocabulary by the reader."""
    from jitkit.data import prepared_folder

    monkeypatch.setattr(prepared_folder, "ALWAYS_HASHED", 100)
    prepared = prepare(corpus_at(folder), TOKENIZER, cache=tmp_path)
    path = prepared.folder / "train-00001.bin"
    data = path.read_bytes()
    path.write_bytes(b"\xff\xff" + data[2:])
    opened = prepare(corpus_at(folder), TOKENIZER, cache=tmp_path)
    assert opened.reused
    with pytest.raises(InputError, match=r"train-00001\.bin: found id 65535"):
        opened.train.tokens[:]
    with pytest.raises(InputError, match=r"train-00001\.bin: sha256"):
        check_prepared(corpus_at(folder), TOKENIZER, cache=tmp_path)
    path.write_bytes(data[:-2])
    assert not prepare(corpus_at(folder), TOKENIZER, cache=tmp_path).reused
    assert "train-00001.bin: size" in caplog.text


def test_any_damage_of_the_index_is_repaired(folder, tmp_path, caplog) -> None:
    """From the records of the shards: nothing is tokenized again."""
    prepared = prepare(corpus_at(folder), TOKENIZER, cache=tmp_path)
    index, old = prepared.folder / "index.json", content(prepared.folder)
    inodes = {path.name: path.stat().st_ino for path in prepared.folder.glob("*.bin")}
    for place in range(0, len(old["index.json"]), 101):
        data = bytearray(old["index.json"])
        data[place] ^= 0x55
        for damaged in (bytes(data), bytes(data[:place])):
            index.write_bytes(damaged)
            assert not prepare(corpus_at(folder), TOKENIZER, cache=tmp_path).reused
            assert content(prepared.folder) == old
            assert "index.json: found " in caplog.text
            caplog.clear()
    assert {path.name: path.stat().st_ino for path in prepared.folder.glob("*.bin")} == inodes


def test_any_damage_of_a_record_costs_at_most_its_shards(folder, tmp_path) -> None:
    prepared = prepare(corpus_at(folder), TOKENIZER, cache=tmp_path)
    old = content(prepared.folder)
    record = prepared.folder / "00002.json"
    for place in range(0, len(old["00002.json"]), 23):
        data = bytearray(old["00002.json"])
        data[place] ^= 0x55
        record.write_bytes(data)
        (prepared.folder / "index.json").write_text("damaged")
        assert not prepare(corpus_at(folder), TOKENIZER, cache=tmp_path).reused
        found = {name: data for name, data in content(prepared.folder).items() if name.endswith(".bin")}
        assert found == {name: data for name, data in old.items() if name.endswith(".bin")}


def test_the_index_lists_every_shard_and_file(folder, tmp_path) -> None:
    prepared = prepare(corpus_at(folder), TOKENIZER, cache=tmp_path)
    index = json.loads((prepared.folder / "index.json").read_text())
    assert index["schema"] == "jitkit.prepared/2"
    assert [Path(file).name for file, _, _ in index["files"]] == [f"{number}.txt" for number in range(NUM_FILES)]
    assert sum(pair["train"]["num_tokens"] for pair in index["shards"]) == len(prepared.train)
