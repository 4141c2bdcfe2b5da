"""Consecutive windows cover the stream. Training windows are reshuffled every epoch, from (seed, step) alone."""

from collections import Counter
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from jitkit.data.token_stream import TokenStream
from jitkit.data.windows import Windows, permuted
from jitkit.errors import InputError

PAD = 999
SEEDS = st.integers(0, 2**63 - 1)
LENGTHS = st.integers(1, 40)


def stream(num_tokens: int, *, packed: bool = True) -> TokenStream:
    return TokenStream("train", np.arange(num_tokens, dtype=np.uint16), PAD, packed, 1, num_tokens)


def epoch_of(windows: Windows, seed: int, epoch: int) -> list[int]:
    """Return the starts of an epoch, as one batch."""
    return windows.batch_starts(seed, epoch, windows.per_epoch)


@given(st.integers(1, 300), LENGTHS)
def test_consecutive_windows_joined_are_the_padded_stream(num_tokens: int, length: int) -> None:
    if num_tokens < length:
        with pytest.raises(InputError, match=f"found {num_tokens} tokens? of train text; expected at least {length}"):
            Windows(stream(num_tokens), length)
        return
    windows = Windows(stream(num_tokens), length)
    tokens = windows.tokens(windows.consecutive)
    assert tokens.dtype == torch.int64
    assert tokens.shape == (len(windows.consecutive), length)
    fill = tokens.numel() - num_tokens
    assert 0 <= fill < length
    assert tokens.flatten().tolist() == [*range(num_tokens), *[PAD] * fill]


def test_a_window_may_start_at_any_token() -> None:
    windows = Windows(stream(100), 10)
    assert windows.tokens([73, 0]).tolist() == [[*range(73, 83)], [*range(10)]]
    assert windows.tokens([98]).tolist() == [[98, 99, *[PAD] * 8]]
    assert windows.tokens([]).shape == (0, 10)
    for outside in (-1, 100):
        with pytest.raises(IndexError):
            windows.tokens([outside])


@given(st.integers(1, 600), SEEDS, st.integers(0, 2**40))
def test_an_epoch_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    assert sorted(permuted(position, size, seed, epoch) for position in range(size)) == [*range(size)]


@given(LENGTHS, st.integers(0, 200), SEEDS, st.integers(0, 2**40))
def test_an_epoch_omits_less_than_a_window_at_each_end_and_repeats_nothing(
    length: int, more: int, seed: int, epoch: int
) -> None:
    num_tokens = length + more  # exactly one window if more is 0
    windows = Windows(stream(num_tokens), length)
    tokens = windows.tokens(sorted(epoch_of(windows, seed, epoch)))
    assert tokens.shape == (num_tokens // length, length)
    assert (tokens[:, 0] != PAD).all()  # no window is padding only
    joined = tokens.flatten().tolist()
    padding = joined.count(PAD)
    assert joined[len(joined) - padding :] == [PAD] * padding
    seen = joined[: len(joined) - padding]
    assert seen == [*range(seen[0], seen[-1] + 1)]
    behind = num_tokens - 1 - seen[-1]
    assert seen[0] < length
    assert behind < length
    assert not (padding and behind)


@given(LENGTHS, st.integers(0, 200), SEEDS, st.integers(0, 2**30))
def test_offsets_start_at_0_and_each_occurs_once_in_a_cycle(length: int, more: int, seed: int, cycle: int) -> None:
    windows = Windows(stream(length + more), length)
    assert min(epoch_of(windows, seed, 0)) == 0
    offsets = [min(epoch_of(windows, seed, cycle * length + number)) for number in range(length)]
    assert sorted(offsets) == [*range(length)]


def test_offsets_depend_on_the_seed() -> None:
    windows = Windows(stream(1000), 50)
    assert len({tuple(min(epoch_of(windows, seed, epoch)) for epoch in range(10)) for seed in range(100)}) == 100


@given(st.integers(1, 30), LENGTHS, SEEDS, st.integers(0, 2**40))
def test_unpacked_windows_have_no_offset(num: int, length: int, seed: int, epoch: int) -> None:
    windows = Windows(stream(num * length, packed=False), length)
    assert sorted(epoch_of(windows, seed, epoch)) == [*windows.consecutive]


@given(st.integers(1, 20), st.integers(1, 30), st.integers(1, 9), SEEDS)
def test_batches_join_to_epochs_without_gaps(batch_size: int, num_windows: int, length: int, seed: int) -> None:
    windows = Windows(stream((num_windows + 1) * length - 1), length)
    steps = 3 * num_windows  # these batches make up batch_size * 3 epochs
    starts = [start for step in range(steps) for start in windows.batch_starts(seed, step, batch_size)]
    joined = [start for epoch in range(batch_size * 3) for start in epoch_of(windows, seed, epoch)]
    assert starts == joined


def test_the_order_depends_on_epoch_and_seed() -> None:
    windows = Windows(stream(100), 1)  # length 1, so there is only one offset
    orders = {tuple(epoch_of(windows, seed, epoch)) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_huge_texts_and_steps_are_cheap() -> None:
    tokens = np.broadcast_to(np.uint16(0), 10**12)
    assert len({*Windows(TokenStream("train", tokens, PAD, True, 1, 1), 100).batch_starts(1, 10**12, 64)}) == 64


@pytest.mark.parametrize("size", [7, 64, 100])
def test_every_window_is_equally_likely_at_every_position(size: int) -> None:
    """The window at a position is uniform over 4000 epochs: chi-square within five standard deviations of its mean."""
    epochs = 4000
    for place in (0, size // 2):
        counts = Counter(permuted(place, size, 42, epoch) for epoch in range(epochs))
        expected = epochs / size
        chi_square = sum((counts[index] - expected) ** 2 / expected for index in range(size))
        assert abs(chi_square - (size - 1)) < 5 * (2 * (size - 1)) ** 0.5


def test_neighbors_are_separated() -> None:
    """A shuffle of n leaves about one pair (k, k + 1) adjacent, for any n."""
    size = 1000
    kept = 0
    for epoch in range(50):
        order = [permuted(position, size, 3, epoch) for position in range(size)]
        kept += sum(b - a == 1 for a, b in pairwise(order))
    assert 20 < kept < 90
