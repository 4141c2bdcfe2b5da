"""Many shards read like one array."""

import resource

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitkit.data.token_stream import LocalTokens, TokenStream
from jitkit.data.windows import Windows
from jitkit.errors import InputError

VOCAB = 1000
PAD = 999


def sharded(folder, arrays) -> LocalTokens:
    shards = []
    for number, array in enumerate(arrays):
        path = folder / f"train-{number:05}.bin"
        array.astype("<u2").tofile(path)
        shards.append((path, len(array)))
    return LocalTokens(shards, "<u2", VOCAB)


@given(sizes=st.lists(st.integers(0, 40), max_size=12), seed=st.integers(0, 9), length=st.integers(1, 60))
def test_windows_equal_those_of_the_concatenation(tmp_path_factory, sizes, seed, length) -> None:
    """Also with empty shards, and windows that span several."""
    arrays = [np.random.default_rng(seed + number).integers(0, VOCAB, size) for number, size in enumerate(sizes)]
    whole = np.concatenate([*arrays, np.empty(0)]).astype("<u2")
    tokens = sharded(tmp_path_factory.mktemp("shards"), arrays)
    assert len(tokens) == len(whole)
    for start in range(0, len(whole) + 2):
        assert tokens[start : start + length].tolist() == whole[start : start + length].tolist()
    assert tokens[:].tolist() == whole.tolist()
    assert tokens[:].dtype == tokens.dtype == whole.dtype
    if len(whole) >= length:
        one, many = (Windows(TokenStream("train", each, PAD, True, 1, 1), length) for each in (whole, tokens))
        starts = [start for step in range(4) for start in many.batch_starts(seed, step, 8)]
        assert many.tokens(starts).equal(one.tokens(starts))
        assert many.tokens(many.consecutive).equal(one.tokens(one.consecutive))


def test_there_may_be_more_shards_than_open_files(tmp_path) -> None:
    tokens = sharded(tmp_path, [np.full(5, number) for number in range(300)])
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
    try:
        assert tokens[:].tolist() == [number for number in range(300) for _ in range(5)]
        assert tokens[1437:1448].tolist() == [287] * 3 + [288] * 5 + [289] * 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_ids_above_the_vocabulary_name_the_shard(tmp_path) -> None:
    tokens = sharded(tmp_path, [np.zeros(5), np.array([1, VOCAB, 1]), np.zeros(5)])
    assert tokens[0:6].tolist() == [0, 0, 0, 0, 0, 1]
    with pytest.raises(
        InputError, match=rf"train-00001\.bin: found id {VOCAB}; expected ids below {VOCAB}.*data check"
    ):
        tokens[4:12]


def test_a_shard_that_is_replaced_while_it_is_in_use_is_an_error(tmp_path) -> None:
    tokens = sharded(tmp_path, [np.zeros(5), np.ones(5)])
    assert tokens[:5].tolist() == [0] * 5
    (tmp_path / "train-00001.bin").unlink()
    np.full(5, 2, "<u2").tofile(tmp_path / "train-00001.bin")
    with pytest.raises(InputError, match=r"train-00001\.bin: found a shard that was replaced"):
        tokens[3:7]
