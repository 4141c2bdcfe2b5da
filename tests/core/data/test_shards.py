"""Prepared text equals the documents, and damage is detected."""

import hashlib
import json
import multiprocessing
import stat

import numpy as np
import pytest

from jitkit.data.prepare import prepare
from jitkit.data.prepared_index import digest_of
from jitkit.data.split import SplitDocuments
from jitkit.data.windows import Windows
from jitkit.errors import InputError, PluginError, ResourceError
from jitkit.files import Files
from jitkit.storage.cache import cache_folder
from jitkit_plugins.sources.text import TextSource
from jitkit_plugins.tokenizers.bytes import BytesTokenizer

TOKENIZER = BytesTokenizer().build(Files(None))
EOS, PAD = TOKENIZER.eos_id, TOKENIZER.pad_id
DOCUMENTS = ["first", "second é", "third 世界", "fourth " * 50, "x"]


def source(documents=DOCUMENTS) -> SplitDocuments:
    return SplitDocuments(lambda: iter(documents), 0.2, origin="x")


class Wide:
    """Bytes as ids of a vocabulary that needs more than 16 bits."""

    vocab_size, eos_id, pad_id, fingerprint = 70_000, 69_998, 69_999, "wide"

    def encode(self, text: str) -> list[int]:
        return [byte + 69_000 for byte in text.encode()]


def test_a_stream_contains_the_documents_with_eos_after_each(tmp_path) -> None:
    prepared = prepare(source(), TOKENIZER, cache=tmp_path)
    for split in ("train", "validation"):
        expected = [token for text in source().documents(split) for token in [*text.encode(), EOS]]
        stream = getattr(prepared, split)
        assert stream.tokens[:].tolist() == expected
        assert stream.num_documents == expected.count(EOS)
        assert stream.num_bytes == len(expected) - expected.count(EOS)


def test_without_packing_every_document_starts_a_window(tmp_path) -> None:
    length = 8
    stream = prepare(source(), TOKENIZER, pack_length=length, cache=tmp_path).train
    windows = Windows(stream, length).tokens(range(0, len(stream), length)).tolist()
    texts = [bytes(token for token in window if token < 256) for window in windows]
    assert len(stream) % length == 0
    starts = [0] + [row + 1 for row, window in enumerate(windows[:-1]) if EOS in window]
    for row, text in zip(starts, source().documents("train"), strict=True):
        assert b"".join(texts[row:]).startswith(text.encode())
        assert windows[row][0] not in (EOS, PAD)
    assert not stream.packed
    assert prepare(source(), TOKENIZER, cache=tmp_path).train.packed


def test_ids_above_16_bits_round_trip(tmp_path) -> None:
    stream = prepare(source(), Wide(), cache=tmp_path).train
    assert stream.tokens.dtype == np.uint32
    assert bytes(np.delete(stream.tokens[:], stream.tokens[:] == 69_998) - 69_000 & 0xFF)
    assert prepare(source(), TOKENIZER, cache=tmp_path).train.tokens.dtype == np.uint16


def test_long_documents_are_tokenized_in_chunks(tmp_path) -> None:
    text = "The quick brown fox jumps over the lazy dog.\n" * 40_000
    calls = []
    prepared = prepare(
        source([text, "y" * 3_000_000]), TOKENIZER, cache=tmp_path, progress=lambda *call: calls.append(call)
    )
    for split in ("train", "validation"):
        [document] = source([text, "y" * 3_000_000]).documents(split)
        stream = getattr(prepared, split)
        assert TOKENIZER.decode_bytes(stream.tokens[:].tolist()) == document.encode()
    assert len(calls) > 2
    total = prepared.train.num_bytes + prepared.validation.num_bytes
    assert {task: (done, of) for task, done, of in calls} == {
        "reading text": (total, 0),
        "tokenizing text": (total, total),
    }


def test_the_same_text_is_prepared_once(tmp_path) -> None:
    first = prepare(source(), TOKENIZER, cache=tmp_path)
    again = prepare(source(), TOKENIZER, cache=tmp_path)
    assert (first.reused, again.reused) == (False, True)
    assert again.fingerprint == first.fingerprint
    others = [
        prepare(source(DOCUMENTS[1:]), TOKENIZER, cache=tmp_path),
        prepare(source(), Wide(), cache=tmp_path),
        prepare(source(), TOKENIZER, pack_length=4, cache=tmp_path),
    ]
    assert not any(other.reused for other in others)
    assert len({first.fingerprint, *(other.fingerprint for other in others)}) == 4


def damage_truncate(path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_flip(path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_delete(path) -> None:
    path.unlink()


@pytest.mark.parametrize("name", ["train-00000.bin", "validation-00000.bin", "index.json"])
@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_delete])
def test_a_damaged_cache_is_rebuilt_with_a_warning(tmp_path, caplog, name, damage) -> None:
    first = prepare(source(), TOKENIZER, cache=tmp_path)
    expected = first.train.tokens[:].tolist()
    damage(first.folder / name)
    again = prepare(source(), TOKENIZER, cache=tmp_path)
    assert not again.reused
    assert again.train.tokens[:].tolist() == expected
    assert again.fingerprint == first.fingerprint
    [record] = caplog.records
    assert f"{first.folder / name}: " in record.getMessage()
    assert record.getMessage().endswith("Preparing it again.")


def write_index(folder, index) -> None:
    """Write an index with a hash that matches."""
    content = {key: value for key, value in index.items() if key != "sha256"}
    (folder / "index.json").write_text(json.dumps({**content, "sha256": digest_of(content)}))


def test_an_index_with_wrong_counts_is_damaged(tmp_path, caplog) -> None:
    folder = prepare(source(), TOKENIZER, cache=tmp_path).folder
    index = json.loads((folder / "index.json").read_text())
    index["shards"][0]["train"]["num_tokens"] -= 1
    write_index(folder, index)
    assert not prepare(source(), TOKENIZER, cache=tmp_path).reused
    size = (folder / "train-00000.bin").stat().st_size
    assert f"train-00000.bin: size: found {size} bytes; expected {size - 2} (index.json)" in caplog.text


def test_shards_with_other_ids_or_another_type_are_damaged_even_if_their_hashes_match(tmp_path, caplog) -> None:
    first = prepare(source(), TOKENIZER, cache=tmp_path)
    expected, train = first.train.tokens[:].tolist(), first.folder / "train-00000.bin"
    content, index = train.read_bytes(), json.loads((first.folder / "index.json").read_text())
    for data, recipe, message in (
        (b"\xff\xff" + content[2:], {}, "train-00000.bin: found id 65535; expected ids below 258"),
        (content + b"\0", {}, f"train-00000.bin: size: found {len(content) + 1} bytes; expected {len(content)}"),
        (content, {"dtype": "<u4"}, "index.json: found ValueError (inputs that do not match the folder name)"),
    ):
        train.write_bytes(data)
        shard = {**index["shards"][0]["train"], "sha256": hashlib.sha256(data).hexdigest()}
        changed = {**index, "recipe": {**index["recipe"], **recipe}}
        write_index(first.folder, {**changed, "shards": [{**index["shards"][0], "train": shard}]})
        assert prepare(source(), TOKENIZER, cache=tmp_path).train.tokens[:].tolist() == expected
        assert message in caplog.records[-1].getMessage().replace("65,535", "65535")


def as_first_format(folder) -> None:
    """Turn a prepared folder into one of the first version of jitkit."""
    index = json.loads((folder / "index.json").read_text())
    [shards] = index["shards"]
    for split in ("train", "validation"):
        (folder / f"{split}-00000.bin").rename(folder / f"{split}.bin")
    (folder / "00000.json").unlink()
    first = {"recipe": index["recipe"], "train": shards["train"], "validation": shards["validation"]}
    (folder / "index.json").write_text(json.dumps(first, indent=2))


def test_folders_of_the_first_format_are_read(tmp_path, caplog) -> None:
    first = prepare(source(), TOKENIZER, cache=tmp_path)
    expected = [stream.tokens[:].tolist() for stream in (first.train, first.validation)]
    as_first_format(first.folder)
    again = prepare(source(), TOKENIZER, cache=tmp_path)
    assert again.reused
    assert again.fingerprint == first.fingerprint
    assert [stream.tokens[:].tolist() for stream in (again.train, again.validation)] == expected
    assert (again.train.num_documents, again.train.num_bytes) == (first.train.num_documents, first.train.num_bytes)
    damage_flip(first.folder / "train.bin")
    repaired = prepare(source(), TOKENIZER, cache=tmp_path)
    assert not repaired.reused
    assert sorted(path.name for path in first.folder.iterdir()) == [
        *("00000.json", "index.json", "train-00000.bin", "validation-00000.bin")
    ]
    assert "train.bin: sha256: found" in caplog.text


def test_the_fingerprint_is_that_of_earlier_versions(tmp_path) -> None:
    """Checkpoints record it: a run that they began goes on only with the same text."""
    prepared = prepare(source(), TOKENIZER, cache=tmp_path)
    hashes = [
        hashlib.sha256(b"".join(np.array([*text.encode(), EOS], "<u2").tobytes() for text in source().documents(split)))
        for split in ("train", "validation")
    ]
    values = [[digest.hexdigest() for digest in hashes], TOKENIZER.vocab_size, EOS, PAD]
    assert prepared.fingerprint == hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def test_files_left_by_a_killed_process_are_removed(tmp_path) -> None:
    folder = prepare(source(), TOKENIZER, cache=tmp_path).folder
    partial = folder.rename(folder.with_name(f"{folder.name}.partial"))
    assert not prepare(source(), TOKENIZER, cache=tmp_path).reused
    assert not partial.exists()


def test_a_failure_leaves_nothing_behind(tmp_path) -> None:
    def broken():
        yield from DOCUMENTS
        if survey.done:
            raise InputError("no more text")

    class survey:
        done = False

    failing = SplitDocuments(broken, 0.2, origin="x")
    failing.fingerprint()
    survey.done = True
    with pytest.raises(InputError):
        prepare(failing, TOKENIZER, cache=tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}


def test_a_text_that_changes_while_it_is_prepared_never_enters_the_cache(tmp_path) -> None:
    """Otherwise the other text would be found under the fingerprint of this one, now and in every later run."""
    path, cache = tmp_path / "x.txt", tmp_path / "cache"
    path.write_text("first " * 100)
    changing = TextSource(path=str(path)).build(Files(tmp_path, allowed=frozenset({str(path)})))
    before = changing.fingerprint()
    path.write_text("other " * 100)
    with pytest.raises(InputError, match=r"x\.txt: found text that changed while it was read"):
        prepare(changing, TOKENIZER, cache=cache)
    path.write_text("first " * 100)
    again = TextSource(path=str(path)).build(Files(tmp_path, allowed=frozenset({str(path)})))
    prepared = prepare(again, TOKENIZER, cache=cache)
    assert not prepared.reused
    assert again.fingerprint() == before
    assert TOKENIZER.decode(prepared.train.tokens[:].tolist()).startswith("first first")


def test_a_tokenizer_with_invalid_ids_is_an_error(tmp_path) -> None:
    class TooSmall(Wide):
        vocab_size = 69_000

    with pytest.raises(PluginError, match="expected ids from 0 to 68999"):
        prepare(source(), TooSmall(), cache=tmp_path)


def test_an_empty_split_is_an_error(tmp_path) -> None:
    class TrainOnly:
        def documents(self, split):
            yield from ["text"] if split == "train" else []

        def fingerprint(self) -> str:
            return "0"

    with pytest.raises(InputError, match="data: found no validation document"):
        prepare(TrainOnly(), TOKENIZER, cache=tmp_path)


def test_an_unwritable_cache_is_an_error(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"file"):
        prepare(source(), TOKENIZER, cache=tmp_path / "file" / "below")
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match="Set JITKIT_CACHE to a writable folder"):
        prepare(source(), TOKENIZER)


def test_the_cache_is_private_to_the_user(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("JITKIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = prepare(source(), TOKENIZER).folder
    assert folder.parent == tmp_path / "jitkit" / "prepared"
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((tmp_path / "jitkit").stat().st_mode) == 0o700
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "own"))
    assert cache_folder("a", "b") == tmp_path / "own" / "a" / "b"


def _prepare_in_process(cache, queue) -> None:
    queue.put(prepare(source(), TOKENIZER, cache=cache).reused)


@pytest.mark.slow
def test_two_processes_prepare_once(tmp_path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_prepare_in_process, args=(tmp_path, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    assert sorted(queue.get(timeout=60) for _ in processes) == [False, True, True]
    for process in processes:
        process.join()
