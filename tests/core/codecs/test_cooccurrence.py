"""Semantic values and orders, on texts with a known structure."""

import math

import numpy as np
import pytest

from jitkit.codecs import cooccurrence
from jitkit.codecs.cooccurrence import neighbor_counts, positive_information, semantic_values
from jitkit.codecs.token_order import bisected, frequency_order, id_order, semantic_order

CLASSES, MEMBERS, UNSEEN = 4, 4, 5
VOCAB = CLASSES * MEMBERS + UNSEEN
NEXT = [1, 2, 3, 0, 0, 2]  # the class after each class; members are drawn at random
CLASS_OF = np.random.default_rng(0).permutation(np.repeat(np.arange(CLASSES), MEMBERS))


def text_of_classes(num_tokens: int = 20_000) -> np.ndarray:
    """Return a text in which the ids of a class have the same neighbors."""
    rng = np.random.default_rng(1)
    members = np.array([(number == CLASS_OF).nonzero()[0] for number in range(CLASSES)])
    return members[np.resize(NEXT, num_tokens), rng.integers(MEMBERS, size=num_tokens)]


TEXT = text_of_classes()


def test_neighbors_are_counted_by_side(monkeypatch) -> None:
    monkeypatch.setattr(cooccurrence, "CHUNK_TOKENS", 2)
    counts = neighbor_counts(np.array([2, 0, 2, 0, 1], dtype=np.uint16), 4)
    after, before = counts[:, :4], counts[:, 4:]  # columns by frequency: ids 0, 2, 1, 3
    assert after.tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
    assert before.tolist() == [[0, 2, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_rare_tokens_are_not_contexts(monkeypatch) -> None:
    monkeypatch.setattr(cooccurrence, "MAX_CONTEXTS", 2)
    counts = neighbor_counts(np.array([2, 0, 2, 0, 1]), 4)
    assert counts.tolist() == [[0, 1, 0, 2], [0, 0, 1, 0], [2, 0, 1, 0], [0, 0, 0, 0]]


def test_information_of_independent_and_of_determined_columns() -> None:
    assert positive_information(np.ones((3, 4), np.float32)) == pytest.approx(0, abs=1e-6)
    assert positive_information(np.eye(4, dtype=np.float32)) == pytest.approx(math.log(4) * np.eye(4))


def test_rare_contexts_are_discounted() -> None:
    first, second = 0.25**0.75, 0.75**0.75
    expected = np.diag([math.log((first + second) / first), math.log((first + second) / second)])
    assert positive_information(np.array([[1, 0], [0, 3]], np.float32)) == pytest.approx(expected)


def test_ids_with_similar_neighbors_are_closer_than_others() -> None:
    numbers = semantic_values(TEXT, VOCAB, 3)
    seen = numbers[: CLASSES * MEMBERS]
    distances = np.linalg.norm(seen[:, None] - seen, axis=2)
    same = CLASS_OF[:, None] == CLASS_OF
    assert 4 * distances[same].max() < distances[~same].min()
    assert not numbers[CLASSES * MEMBERS :].any()
    assert np.abs(numbers).max() == 1


def test_excess_values_are_zeros() -> None:
    numbers = semantic_values(np.array([0, 1, 0, 1, 0]), 3, 12)
    assert numbers.shape == (3, 12)
    assert np.isfinite(numbers).all()


def test_orders_are_permutations() -> None:
    for order in (id_order, frequency_order, semantic_order):
        assert sorted(order(TEXT, VOCAB).tolist()) == list(range(VOCAB))


def test_classes_share_their_highest_bits_in_semantic_order() -> None:
    order = semantic_order(TEXT, VOCAB)
    assert order[CLASSES * MEMBERS :].tolist() == list(range(CLASSES * MEMBERS, VOCAB))  # absent ids
    blocks = CLASS_OF[order[: CLASSES * MEMBERS]].reshape(CLASSES, MEMBERS)
    assert (blocks == blocks[:, :1]).all()


@pytest.mark.parametrize("length", [1, 2, 3, 16, 37])
@pytest.mark.parametrize("orientation", [1, -1])
def test_points_on_a_line_are_sorted(length, orientation) -> None:
    places = np.random.default_rng(2).permutation(length)
    rows = places[:, None] * np.array([[1, -2, 0.5]], np.float32)
    order = places[bisected(rows, np.array([orientation, 0, 0], np.float32))]
    assert order.tolist() == list(range(length))[::orientation]


def test_frequent_ids_come_first() -> None:
    assert frequency_order(np.array([3, 1, 3, 1, 3, 0]), 5).tolist() == [3, 1, 0, 2, 4]
