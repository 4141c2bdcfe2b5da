"""Semantic values and orders, on texts with a known structure; fitted codewords and their files."""

import math

import numpy as np
import pytest
import torch

from jitkit.codecs import fitting
from jitkit.codecs.codebook import TableCodebook, codebook_bytes, parse_codebook
from jitkit.codecs.fitting import (
    assign_codewords,
    bisected,
    codewords_of,
    frequency_order,
    id_order,
    nearest_tokens,
    neighbor_counts,
    positive_information,
    prepend_semantic_values,
    semantic_order,
    semantic_values,
)
from jitkit.errors import InputError, RefusedError
from jitkit.files import WORKING_FOLDER
from jitkit.storage.png import png_bytes
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code
from jitkit_plugins.codecs.palette import Palette

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
    monkeypatch.setattr(fitting, "CHUNK_TOKENS", 2)
    counts = neighbor_counts(np.array([2, 0, 2, 0, 1], dtype=np.uint16), 4)
    after, before = counts[:, :4], counts[:, 4:]  # columns by frequency: ids 0, 2, 1, 3
    assert after.tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
    assert before.tolist() == [[0, 2, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]


def test_rare_tokens_are_not_contexts(monkeypatch) -> None:
    monkeypatch.setattr(fitting, "MAX_CONTEXTS", 2)
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


RANDOM_TEXT = np.random.default_rng(0).integers(60, size=5000)


@pytest.mark.parametrize("component", [Bits(), Bits(layout="raster"), Code(numbers=20), Palette()])
def test_codewords_of_a_codec_have_its_margin(component) -> None:
    words = codewords_of(component, 67, WORKING_FOLDER)
    assert len(words) == 67
    assert TableCodebook(words).margin == pytest.approx(component.build(67, 16, 4).margin)


def test_constant_values_are_left_out() -> None:
    assert torch.equal(
        codewords_of(Bits(), 67, WORKING_FOLDER),
        Bits().digits(67).levels[torch.arange(67)[:, None] >> torch.arange(7) & 1],
    )


@pytest.mark.parametrize("num_values", [0, 1, 12])
def test_the_margin_never_decreases(num_values) -> None:
    words = codewords_of(Bits(), 67, WORKING_FOLDER)
    order = np.random.default_rng(1).permutation(67)
    fitted = prepend_semantic_values(assign_codewords(words, order), RANDOM_TEXT, num_values)
    assert fitted.shape == (67, 7 + num_values)
    assert TableCodebook(fitted).margin >= 1
    assert torch.equal(fitted[order, num_values:], words)


def test_the_nearest_tokens_by_codeword() -> None:
    words = torch.tensor([[0], [100], [110], [5], [250]], dtype=torch.uint8)
    tokens = np.array([0, 0, 0, 1, 1, 2, 3])
    assert nearest_tokens(words, tokens, num_tokens=2, num_nearest=2) == [(0, [3, 1]), (1, [2, 3])]


def test_a_codebook_survives_its_file() -> None:
    words = torch.randint(256, (67, 7), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    stored = parse_codebook(codebook_bytes(words, "a fingerprint"), 67, file="a.png")
    assert torch.equal(stored.codebook.words[:, :7], words)
    assert stored.codebook.words.shape == (67, 9)
    assert stored.tokenizer_fingerprint == "a fingerprint"


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", InputError, "a.png: found an empty file; expected an 8-bit RGB PNG 67 pixels high, one row per token id"),
        (
            png_bytes(torch.zeros(66, 2, 3, dtype=torch.uint8)),
            InputError,
            "found 2x66 pixels; expected an 8-bit RGB PNG 67 pixels high",
        ),
        (png_bytes(torch.zeros(67, 2, 3, dtype=torch.uint8)), InputError, "found the same codeword for tokens"),
        (png_bytes(torch.zeros(67, 4097, 3, dtype=torch.uint8)), RefusedError, "found 4097x67 pixels"),
    ],
    ids=["empty", "low", "equal", "wide"],
)
def test_an_invalid_file_is_an_error(data, error, message) -> None:
    with pytest.raises(error, match=message):
        parse_codebook(data, 67, file="a.png")


def test_a_picture_without_a_fingerprint_fits_any_tokenizer() -> None:
    words = torch.arange(67, dtype=torch.uint8)[:, None].expand(67, 3)
    assert parse_codebook(png_bytes(words.view(67, 1, 3)), 67, file="a.png").tokenizer_fingerprint == ""
