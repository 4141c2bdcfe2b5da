"""Prepared text that a manifest names: a local folder, or a remote one in shards that are downloaded as needed."""

import threading
import time
from collections import Counter
from itertools import pairwise

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitkit.data import corpus as corpus_module
from jitkit.data import remote_folder
from jitkit.data.given_folder import is_url, open_given
from jitkit.data.prepare import prepare
from jitkit.data.prepared_index import INDEX, parse_index
from jitkit.data.token_stream import TokenStream
from jitkit.data.windows import Windows, span_place
from jitkit.errors import InputError, RefusedError, ResourceError
from jitkit.files import Files
from jitkit.recipe import open_recipe, prepared_text
from jitkit_plugins.tokenizers.bytes import BytesTokenizer
from tests.core.data.test_corpus import corpus_at
from tests.core.data.test_shards import Wide
from tests.extras import need
from tests.file_server import serving_files

TOKENIZER = BytesTokenizer().build(Files(None))
URL = "memory://bucket/corpus"
LENGTH, SPAN = 16, 2000


@pytest.fixture
def local(tmp_path, monkeypatch):
    """A prepared folder with ten pairs of shards of different sizes."""
    monkeypatch.setattr(corpus_module, "MIN_GROUP", 1)
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.txt").write_text("\n".join(f"line {line} of {number}, " * 5 for line in range(8 + number)))
    return prepare(corpus_at(folder), TOKENIZER, cache=tmp_path / "made")


@pytest.fixture
def remote(local, monkeypatch):
    """The same folder at a URL, without pauses between tries."""
    monkeypatch.setattr(remote_folder, "PAUSES", (0.0, 0.0))
    system = fsspec.filesystem("memory")
    system.store.clear()
    for path in local.folder.iterdir():
        system.pipe_file(f"/bucket/corpus/{path.name}", path.read_bytes())
    return system


def copies(tmp_path) -> int:
    return len(list((tmp_path / "cache" / "shards").glob("*.bin")))


def eventually(check) -> bool:
    deadline = time.monotonic() + 20
    while not check() and time.monotonic() < deadline:
        time.sleep(0.01)
    return check()


@given(num=st.integers(1, 300), size=st.integers(1, 400), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 2**40))
def test_an_epoch_in_spans_has_each_window_once(num: int, size: int, seed: int, epoch: int) -> None:
    size = min(size, num)
    places = [span_place(position, num, size, seed, epoch) for position in range(num)]
    assert sorted(places) == [*range(num)]
    spans = [place // size for place in places]
    assert sum(a != b for a, b in pairwise(spans)) == len(set(spans)) - 1, "each span is read as a whole"


def test_spans_and_their_windows_are_shuffled() -> None:
    orders = [[span_place(position, 1000, 100, seed, 0) for position in range(1000)] for seed in range(50)]
    assert len({tuple(place // 100 for place in order[::100]) for order in orders}) == 50
    assert all(number > 0 for number in Counter(order[0] for order in orders).values())
    inside = {tuple(place % 100 for place in order[start : start + 100]) for order in orders for start in (0, 100)}
    assert len(inside) == 100


@given(num=st.integers(1, 500), span=st.integers(1, 600), seed=st.integers(0, 99), step=st.integers(0, 50))
def test_announced_ranges_cover_the_batch_and_its_successor(num: int, span: int, seed: int, step: int) -> None:
    tokens = np.arange(num + LENGTH, dtype="<u2")
    windows = Windows(TokenStream("train", tokens, 999, True, 1, 1, span), LENGTH)
    count = windows.per_epoch
    for at in (step, step + 1):
        positions = [divmod(number, count) for number in range(at * 4, at * 4 + 4)]
        ranges = windows._ranges(seed, positions[0], positions[-1])
        for start in windows.batch_starts(seed, at, 4):
            assert any(first <= start and start + LENGTH <= stop for first, stop in ranges[:-1])


def test_a_local_folder_equals_the_one_in_the_cache(local) -> None:
    given_one = open_given(local.folder, TOKENIZER, None)
    assert given_one.fingerprint == local.fingerprint
    assert given_one.train.tokens[:].tolist() == local.train.tokens[:].tolist()


def test_a_remote_folder_has_the_same_windows(local, remote) -> None:
    opened = open_given(URL, TOKENIZER, None, span=SPAN)
    assert opened.fingerprint == local.fingerprint
    near, far = Windows(local.train, LENGTH), Windows(opened.train, LENGTH)
    steps = range(2 * far.per_epoch // 4)
    for step in steps:
        starts = far.batch_starts(7, step, 4)
        assert far.tokens(starts).equal(near.tokens(starts))
    assert far.batch_starts(7, 3, 4) == Windows(opened.train, LENGTH).batch_starts(7, 3, 4), (
        "a function of seed and step"
    )
    validation = Windows(opened.validation, LENGTH)
    assert validation.tokens(validation.consecutive).equal(
        Windows(local.validation, LENGTH).tokens(validation.consecutive)
    )


def test_this_span_and_the_next_are_on_the_disk_and_no_others(local, remote, tmp_path) -> None:
    opened = open_given(URL, TOKENIZER, None, span=SPAN)
    windows = Windows(opened.train, LENGTH)
    spans = -(-windows.per_epoch // windows._span)
    assert spans >= 4
    for step in range(windows.per_epoch):
        windows.tokens(windows.batch_starts(3, step, 1))
        position = divmod(step, windows.per_epoch)
        ranges = windows._ranges(3, position, position)
        wanted = {number for start, stop in ranges for number in opened.train.tokens.numbers(start, stop)}
        if step % 20 == 0:
            assert eventually(lambda wanted=wanted: set(opened.train.tokens._local) >= wanted), "prefetched"
        assert len(wanted) < opened.num_shards
        assert eventually(lambda most=len(wanted) + 1: copies(tmp_path) <= most), "deleted in the background"


def test_a_shard_that_is_passed_during_its_download_is_deleted(local, remote, tmp_path, monkeypatch) -> None:
    tokens = open_given(URL, TOKENIZER, None, span=SPAN).train.tokens
    started, passed = threading.Event(), threading.Event()
    fetch = tokens._folder.fetch

    def slow(name, *given):
        path = fetch(name, *given)
        started.set()
        assert passed.wait(20)
        return path

    monkeypatch.setattr(tokens._folder, "fetch", slow)
    tokens.announce([(0, 1)])
    assert started.wait(20)
    tokens.announce([])
    passed.set()
    assert eventually(lambda: copies(tmp_path) == 0)


def test_a_download_in_the_background_ends_in_the_cache_in_which_it_began(local, remote, tmp_path, monkeypatch) -> None:
    tokens = open_given(URL, TOKENIZER, None, span=SPAN).train.tokens
    started, moved, get = threading.Event(), threading.Event(), type(remote).get_file

    def slow(self, *path, **more):
        started.set()
        assert moved.wait(20)
        return get(self, *path, **more)

    monkeypatch.setattr(type(remote), "get_file", slow)
    tokens.announce([(0, len(tokens))])
    assert started.wait(20)
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "other"))
    moved.set()
    assert eventually(lambda: copies(tmp_path) == len(tokens._shards))
    assert not (tmp_path / "other").exists()


def test_the_thread_ends_with_the_tokens(local, remote) -> None:
    tokens = open_given(URL, TOKENIZER, None, span=SPAN).train.tokens
    tokens.announce([(0, 1)])
    thread = tokens._thread
    assert thread.is_alive()
    del tokens
    thread.join(20)
    assert not thread.is_alive()


def test_a_web_server_lists_files_without_their_sizes(local) -> None:
    need("aiohttp")
    files = {path.name: path.stat().st_size for path in local.folder.iterdir()}
    with serving_files(local.folder) as url:
        assert remote_folder.RemoteFolder(url).sizes == files


def test_one_download_serves_all_processes_of_a_machine(local, remote, monkeypatch) -> None:
    downloads = []
    get = type(remote).get_file
    monkeypatch.setattr(
        type(remote), "get_file", lambda self, *path, **more: (downloads.append(path), get(self, *path, **more))
    )
    readers = [open_given(URL, TOKENIZER, None) for _ in range(3)]
    threads = [threading.Thread(target=lambda reader=reader: reader.train.tokens[:10]) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(downloads) == 1


def test_a_flaky_remote_is_tried_again_and_a_dead_one_is_one_line(local, remote, monkeypatch) -> None:
    failures, get = [], type(remote).get_file

    def flaky(self, *path, **more):
        if len(failures) < 2:
            failures.append(path)
            raise ConnectionResetError("reset by peer")
        return get(self, *path, **more)

    monkeypatch.setattr(type(remote), "get_file", flaky)
    opened = open_given(URL, TOKENIZER, None)
    assert opened.train.tokens[:5].tolist() == local.train.tokens[:5].tolist()
    failures.clear()
    monkeypatch.setattr(remote_folder, "PAUSES", (0.0,))
    with pytest.raises(
        ResourceError, match=r"bucket/corpus/train-00009\.bin: found ConnectionResetError \(reset by peer\)"
    ):
        opened.train.tokens[len(opened.train) - 5 : len(opened.train)]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", r"train-00003\.bin: found no such file; expected \d+ bytes"),
        ("truncated", r"train-00003\.bin: found [\d,]+ bytes; expected \d+ bytes"),
        ("flipped", r"train-00003\.bin: found sha256 .*; expected .*Upload the folder again"),
        ("index", r"index\.json: found "),
        ("no index", r"index\.json: found no such file; expected prepared text, uploaded as a whole"),
    ],
)
def test_a_damaged_upload_is_named(local, remote, damage, message) -> None:
    path = "/bucket/corpus/" + ("index.json" if "index" in damage else "train-00003.bin")
    data = bytearray(remote.cat_file(path))
    if damage in ("missing", "no index"):
        remote.rm_file(path)
    elif damage == "truncated":
        remote.pipe_file(path, bytes(data[:-2]))
    else:
        data[len(data) // 2] ^= 1
        remote.pipe_file(path, bytes(data))
    with pytest.raises(InputError, match=message):
        open_given(URL, TOKENIZER, None).train.tokens[:]


def test_another_tokenizer_or_window_is_an_error(local, remote) -> None:
    for place in (URL, local.folder):
        with pytest.raises(InputError, match=r"index\.json: tokenizer: found .*; expected 'wide', as in the manifest"):
            open_given(place, Wide(), None)
        with pytest.raises(InputError, match=r"index\.json: pack_length: found None; expected 64, as in the manifest"):
            open_given(place, TOKENIZER, 64)


@pytest.mark.parametrize("damage", ["absent", "unknown", "wider"])
def test_tokens_of_another_type_are_an_error(local, damage) -> None:
    path = local.folder / INDEX
    index = parse_index(path.read_bytes(), path)
    index.recipe["dtype"] = {"unknown": "<x9", "wider": "<u4"}.get(damage)
    path.write_bytes(index.write())
    with pytest.raises(InputError, match=r"index\.json: dtype: found .*; expected '<u2', as in the manifest"):
        open_given(local.folder, TOKENIZER, None)


@pytest.mark.parametrize(("damage", "message"), [("truncated", "bytes; expected"), ("flipped", "sha256: found ")])
def test_a_damaged_local_folder_is_named_and_stays(local, damage, message) -> None:
    path = local.folder / "train-00003.bin"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    damaged = bytes(data) if damage == "flipped" else path.read_bytes()[:-2]
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=r"train-00003\.bin: .*" + message):
        open_given(local.folder, TOKENIZER, None)
    assert path.read_bytes() == damaged


def test_a_manifest_names_the_folder_and_data_of_the_command_line_replaces_it(local, remote, tmp_path) -> None:
    components = open_recipe("jit-nano", overrides=[f"train.prepared={URL}"])
    tokenizer = components.tokenizer.build(components.files)
    assert prepared_text(components, tokenizer, LENGTH).data.fingerprint == local.fingerprint
    (tmp_path / "text.txt").write_text("other text\n" * 300)
    other = open_recipe("jit-nano", overrides=[f"train.prepared={URL}"], data=tmp_path / "text.txt")
    assert prepared_text(other, tokenizer, LENGTH).data.fingerprint != local.fingerprint
    here = open_recipe("jit-nano", overrides=[f"train.prepared={local.folder}"])
    assert prepared_text(here, tokenizer, LENGTH).data.fingerprint == local.fingerprint


@pytest.mark.parametrize(
    "name",
    [
        "file:///etc",
        "local:///etc",
        "simplecache::file:///etc",
        "zip://x::file:///etc/x.zip",
        "FILE:///etc",
        "reference://",
    ],
)
def test_a_url_does_not_name_local_files(name) -> None:
    with pytest.raises(
        RefusedError, match=r"train\.prepared: found .*; expected a path, or the URL of a remote folder"
    ):
        is_url(name)


def test_a_remote_without_its_package_says_so() -> None:
    with pytest.raises(ResourceError, match=r"abfs://x: found no package for this URL .*"):
        open_given("abfs://x", TOKENIZER, None)
