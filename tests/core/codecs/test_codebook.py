"""Subclassing `CodebookCodec`, as plugins do."""

import pytest
import torch

from jitkit.codecs.codebook import CodebookCodec, TableCodebook
from jitkit.errors import PluginError
from jitkit.testing import parametrize_conformance


class Random(CodebookCodec):
    """Five random bytes per token: a codebook without structure, and a partly used pixel."""

    name = "random"

    def codebook(self, vocab_size):
        return torch.randint(256, (vocab_size, 5), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


@parametrize_conformance("codec", Random(), Random(layout="raster"))
def test_a_codec_of_few_lines_conforms(conformance_test) -> None:
    conformance_test()


@pytest.mark.parametrize("num_numbers", [3, 48, 90])
def test_the_margin_is_exact_for_large_tables(num_numbers) -> None:
    words = torch.randint(256, (5000, num_numbers), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    words = words.unique(dim=0)
    words[-1] = words[7]
    words[-1, 1] ^= 1  # the nearest pair is far apart in the table
    assert TableCodebook(words).margin == pytest.approx(1 / 127.5 / 2)


def test_a_perturbed_picture_is_decoded_to_the_nearest_tokens() -> None:
    codec = Random().build(300, 16, 4)
    tokens = torch.arange(codec.capacity)[None]
    pictures = codec.encode_bytes(tokens)
    perturbed = torch.where(pictures < 250, pictures + 2, pictures)
    assert codec.margin * 127.5 > 2 * 5**0.5
    assert torch.equal(codec.decode_bytes(perturbed), tokens)


def test_unowned_pixels_are_gray() -> None:
    codec = Random().build(10, 16, 4)
    owned = codec.pixel_mask(torch.ones((1, codec.capacity), dtype=torch.bool))[0, 0]
    pictures = codec.encode_bytes(torch.zeros((1, codec.capacity), dtype=torch.int64))
    rest = Random(layout="raster").build(10, 15, 5)
    assert owned.all()
    assert (pictures[0, 0, 1, 2] == 128).all(), "the sixth value of a five-value codeword"
    assert rest.capacity == 112
    assert (rest.encode_bytes(torch.zeros((1, 112), dtype=torch.int64))[0, -1, -1] == 128).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (torch.zeros(10, 3), "type torch.float32; expected shape .10, n. with n >= 1 and type torch.uint8"),
        (torch.zeros(9, 3, dtype=torch.uint8), "shape .9, 3."),
        (torch.zeros(10, 0, dtype=torch.uint8), "shape .10, 0."),
        (torch.zeros(10, 3, dtype=torch.uint8), "codec broken: found the same codeword for tokens 0 and 1"),
    ],
)
def test_an_invalid_codebook_is_a_plugin_error(words, message) -> None:
    class Broken(CodebookCodec):
        """Broken."""

        name = "broken"

        def codebook(self, vocab_size):
            return words

    with pytest.raises(PluginError, match=message):
        Broken().build(10, 16, 4)


def test_logits_keep_their_precision_under_autocast() -> None:
    codec = Random().build(67, 16, 4)
    image = torch.randn((2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    sigma = torch.ones(2)
    with torch.autocast("cpu", torch.bfloat16):
        blurred = codec.token_logits(image, sigma)
        tokens = codec.decode(image)
    assert torch.equal(blurred, codec.token_logits(image, sigma))
    assert torch.equal(tokens, codec.decode(image))
