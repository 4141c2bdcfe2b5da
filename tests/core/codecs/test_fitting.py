import numpy as np
import pytest
import torch

from jitkit.codecs.codebook import TableCodebook
from jitkit.codecs.codebook_file import codebook_bytes, parse_codebook
from jitkit.codecs.fitting import assign_codewords, codewords_of, nearest_tokens, prepend_semantic_values
from jitkit.errors import InputError, RefusedError
from jitkit.files import WORKING_FOLDER
from jitkit.storage.png import png_bytes
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code
from jitkit_plugins.codecs.palette import Palette

TEXT = np.random.default_rng(0).integers(60, size=5000)


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
    fitted = prepend_semantic_values(assign_codewords(words, order), TEXT, num_values)
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
