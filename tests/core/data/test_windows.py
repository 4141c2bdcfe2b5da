"""Windows lose nothing, and their order is a new permutation every epoch, computed from (seed, step) alone."""

from collections import Counter
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from jitkit.data.permutation import permuted
from jitkit.data.shards import TokenStream
from jitkit.data.windows import Windows, batch_indices
from jitkit.errors import InputError

PAD = 999
SEEDS = st.integers(0, 2**63 - 1)


def stream(num_tokens: int, split="train") -> TokenStream:
    return TokenStream(split, np.arange(num_tokens, dtype=np.uint16), PAD, 1, num_tokens)


@given(st.integers(1, 300), st.integers(1, 40))
def test_all_windows_joined_are_the_stream_and_pad(num_tokens: int, length: int) -> None:
    if num_tokens < length:
        with pytest.raises(InputError, match=f"found {num_tokens} tokens of train text; expected at least {length}"):
            Windows(stream(num_tokens), length)
        return
    windows = Windows(stream(num_tokens), length)
    tokens = windows.tokens(range(len(windows)))
    assert tokens.dtype == torch.int64
    assert tokens.shape == (len(windows), length)
    fill = tokens.numel() - num_tokens
    assert 0 <= fill < length
    assert tokens.flatten().tolist() == [*range(num_tokens), *[PAD] * fill]


def test_windows_are_chosen_by_index() -> None:
    windows = Windows(stream(100), 10)
    assert windows.tokens(torch.tensor([7, 0])).tolist() == [[*range(70, 80)], [*range(10)]]
    assert windows.tokens([]).shape == (0, 10)
    for outside in (-1, 10):
        with pytest.raises(IndexError):
            windows.tokens([outside])


@given(st.integers(1, 600), SEEDS, st.integers(0, 2**40))
def test_an_epoch_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    assert sorted(permuted(position, size, seed, epoch) for position in range(size)) == [*range(size)]


@given(st.integers(1, 50), st.integers(1, 70), SEEDS)
def test_batches_join_to_epochs_without_a_gap(batch_size: int, num_windows: int, seed: int) -> None:
    steps = 3 * num_windows  # so many batches make batch_size * 3 epochs
    drawn = [index for step in range(steps) for index in batch_indices(seed, step, batch_size, num_windows)]
    for start in range(0, len(drawn), num_windows):
        assert sorted(drawn[start : start + num_windows]) == [*range(num_windows)]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {tuple(batch_indices(seed, epoch, 100, 100)) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_a_huge_index_costs_nothing() -> None:
    assert len({*batch_indices(1, 10**12, 64, 10**10)}) == 64


@pytest.mark.parametrize("size", [7, 64, 100])
def test_every_window_is_as_likely_at_every_place(size: int) -> None:
    """The first place of 4000 epochs is uniform: chi-square within five standard deviations of its mean."""
    epochs = 4000
    for place in (0, size // 2):
        counts = Counter(permuted(place, size, 42, epoch) for epoch in range(epochs))
        expected = epochs / size
        chi_square = sum((counts[index] - expected) ** 2 / expected for index in range(size))
        assert abs(chi_square - (size - 1)) < 5 * (2 * (size - 1)) ** 0.5


def test_neighbours_do_not_stay_together() -> None:
    """A shuffle of n leaves about one pair (k, k + 1) beside each other, whatever n."""
    size = 1000
    kept = 0
    for epoch in range(50):
        order = [permuted(position, size, 3, epoch) for position in range(size)]
        kept += sum(b - a == 1 for a, b in pairwise(order))
    assert 20 < kept < 90
