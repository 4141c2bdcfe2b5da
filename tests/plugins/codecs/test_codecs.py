import pytest
import torch

from jitkit.errors import ManifestError
from jitkit.testing import parametrize_conformance
from jitkit_plugins.codecs.base256 import Base256
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code
from jitkit_plugins.codecs.digits import StretchedDigits
from jitkit_plugins.codecs.palette import Palette


# The defaults are checked in tests/conformance.
@parametrize_conformance(
    "codec",
    Base256(layout="patch-major"),
    Bits(layout="raster"),
    Bits(order="gray"),
    Code(numbers=13, layout="raster"),
    StretchedDigits(numbers=6),
    StretchedDigits(base=3),
    StretchedDigits(base=3, order="gray"),
    Palette(pixels=2),
    Palette(pixels=4),
)
def test_conformance_with_other_settings(conformance_test) -> None:
    conformance_test()


def test_base256_matches_the_original_codec() -> None:
    codec = Base256().build(200_000, 64, 4)
    ids = torch.tensor([0, 255, 256, 65_535, 65_536, 151_642, 199_999])
    tokens = torch.zeros((1, codec.capacity), dtype=torch.int64)
    tokens[0, : len(ids)] = ids
    expected = torch.stack([ids % 256, ids // 256 % 256, ids // 65_536], 1)
    assert torch.equal(codec.encode_bytes(tokens)[0, 0, : len(ids)].long(), expected)
    assert codec.margin == pytest.approx(0.5 / 127.5)


@pytest.mark.parametrize(("vocab_size", "pixels"), [(2, 1), (8, 1), (9, 2), (258, 3), (16_384, 5), (16_385, 5)])
def test_bits_use_as_few_pixels_as_possible(vocab_size, pixels) -> None:
    codec = Bits().build(vocab_size, 64, 4)
    assert codec.pixels_per_token == pixels
    assert codec.margin == 1


@pytest.mark.parametrize("vocab_size", [67, 258, 16_384])
def test_codecs_that_use_the_whole_range_have_a_larger_margin(vocab_size) -> None:
    base256, digits, palette = (
        component.build(vocab_size, 64, 4) for component in (Base256(), StretchedDigits(), Palette())
    )
    assert base256.pixels_per_token == digits.pixels_per_token == palette.pixels_per_token == 1
    assert 10 * base256.margin <= digits.margin
    assert 1.1 * digits.margin <= palette.margin


@pytest.mark.parametrize(("vocab_size", "numbers", "distance"), [(67, 48, 20), (258, 48, 18), (16_384, 48, 14)])
def test_sign_codes_have_a_large_minimum_distance(vocab_size, numbers, distance) -> None:
    codec = Code(numbers=numbers).build(vocab_size, 32, 4)
    assert codec.margin**2 >= distance - 1e-6  # words that differ in d signs are 2 sqrt(d) apart
    assert codec.capacity == 64


def test_sign_codes_are_deterministic() -> None:
    words = Code(numbers=12).codebook(20)
    spelled = ["".join("01"[byte // 255] for byte in word) for word in words.tolist()]
    assert spelled[:3] == ["011011011111", "010111110111", "001100101000"]
    assert torch.equal(words, Code(numbers=12, seed=0).codebook(20))
    assert not torch.equal(words, Code(numbers=12, seed=1).codebook(20))


@pytest.mark.parametrize(
    ("component", "vocab_size", "message"),
    [
        (Base256(), 2**24 + 1, "a vocabulary of 16777217; expected at most 16777216"),
        (Code(numbers=8), 257, "numbers: found 8 values per token; expected at least 9"),
        (StretchedDigits(numbers=1), 257, "numbers: found 1 value per token; expected at least 2"),
        (StretchedDigits(numbers=2, base=10), 101, "a vocabulary of 101; expected at most 100"),
        (StretchedDigits(numbers=20, base=256), 300, "20 digits of base 256"),
        (Code(numbers=3 * 17), 10, "tokens of 17 pixels in an image of 4x4"),
    ],
)
def test_a_misfit_is_an_error(component, vocab_size, message) -> None:
    with pytest.raises(ManifestError, match=message):
        component.build(vocab_size, 4, 4)
