import pytest
import torch

from jitkit.codecs.codebook import TableCodebook
from jitkit.codecs.codewords import Codebook
from jitkit.codecs.digits import DigitCodebook, evenly_spaced, smallest_base
from jitkit.codecs.image_codec import to_image

ORDERS = pytest.mark.parametrize("order", ["binary", "gray"])


@ORDERS
@pytest.mark.parametrize(
    ("base", "length", "vocab_size"), [(2, 7, 67), (2, 7, 128), (3, 4, 55), (4, 4, 201), (7, 3, 258), (7, 3, 1)]
)
def test_the_nearest_valid_token_equals_brute_force(base, length, vocab_size, order) -> None:
    generator = torch.Generator().manual_seed(base * vocab_size)
    codebook = DigitCodebook(evenly_spaced(base), length, vocab_size, order)
    words = codebook.words.double()
    pictures = torch.randint(256, (4000, length), generator=generator).to(torch.uint8)
    wild = torch.randn((4000, length), generator=generator) * 1.5
    read = (
        (pictures.double(), codebook.nearest_bytes(pictures)),
        ((wild.double() + 1) * 127.5, codebook.nearest(wild)),
    )
    for numbers, ids in read:
        assert ids.min() >= 0
        assert ids.max() < vocab_size
        distances = (numbers[:, None] - words).square().sum(2)
        chosen = distances.gather(1, ids[:, None])[:, 0]
        assert torch.allclose(chosen, distances.min(1).values, rtol=1e-5, atol=1e-2)


@ORDERS
@pytest.mark.parametrize(("base", "length"), [(2, 9), (7, 3), (26, 3), (256, 2)])
@pytest.mark.parametrize("vocab_size", [2, 60, 258, 300])
def test_the_margin_equals_that_of_the_table(base, length, vocab_size, order) -> None:
    codebook = DigitCodebook(evenly_spaced(base), length, vocab_size, order)
    assert codebook.margin == pytest.approx(TableCodebook(codebook.words).margin)


@pytest.mark.parametrize(("base", "length"), [(2, 10), (3, 6), (4, 5), (7, 4), (256, 2)])
def test_in_gray_code_consecutive_ids_differ_in_one_digit_by_one_level(base, length) -> None:
    codebook = DigitCodebook(torch.arange(base, dtype=torch.uint8), length, base**length, "gray")
    steps = codebook.words.int().diff(dim=0).abs()
    assert (steps.sum(1) == 1).all()
    assert torch.equal(codebook.nearest_bytes(codebook.words), torch.arange(base**length))


def test_gray_code_of_base_two_is_the_standard_one() -> None:
    ids = torch.arange(300)
    words = DigitCodebook(evenly_spaced(2), 9, 300, "gray").words
    assert torch.equal(words // 255, ((ids ^ ids >> 1)[:, None] >> torch.arange(9) & 1).to(torch.uint8))


@pytest.mark.parametrize("base", [2, 3, 7, 26, 255, 256])
def test_levels_span_the_bytes_evenly(base) -> None:
    levels = evenly_spaced(base).double()
    assert levels[0] == 0
    assert levels[-1] == 255
    assert (levels - torch.linspace(0, 255, base, dtype=torch.float64)).abs().max() <= 0.5


def test_the_smallest_base_is_the_smallest() -> None:
    for codes in range(1, 3000):
        for num_digits in (1, 2, 3, 5):
            base = smallest_base(codes, num_digits)
            assert base**num_digits >= codes
            assert base == 2 or (base - 1) ** num_digits < codes


def test_many_digits_do_not_overflow() -> None:
    codebook = DigitCodebook(evenly_spaced(2), 53, 2**10)
    ids = torch.arange(2**10)
    assert torch.equal(codebook.nearest_bytes(codebook.words), ids)
    assert torch.equal(codebook.nearest_bytes(torch.full((1, 53), 255, dtype=torch.uint8)), torch.tensor([1023]))


@pytest.mark.parametrize(("base", "length", "vocab_size"), [(7, 3, 258), (2, 7, 65), (2, 7, 66), (3, 4, 28), (2, 3, 1)])
def test_any_values_decode_to_a_valid_token(base, length, vocab_size) -> None:
    codebook = DigitCodebook(evenly_spaced(base), length, vocab_size)
    strange = torch.tensor([float("nan"), float("inf"), -float("inf"), 3e38, -3e38, 0.9])
    ids = codebook.nearest(torch.cartesian_prod(*[strange] * length).view(-1, length))
    assert ids.min() >= 0
    assert ids.max() < vocab_size


@ORDERS
@pytest.mark.parametrize(("base", "length", "vocab_size"), [(2, 6, 64), (2, 6, 50), (3, 3, 27), (7, 2, 49)])
def test_the_posterior_mean_equals_that_of_a_softmax_over_all_tokens(base, length, vocab_size, order) -> None:
    """If every string of digits is a token, it is computed digit by digit, with the same result."""
    codebook = DigitCodebook(evenly_spaced(base), length, vocab_size, order)
    values = torch.randn(40, length, generator=torch.Generator().manual_seed(0))
    for variance in (torch.tensor([[1e-3]]), torch.rand(40, 1) + 0.1, torch.tensor([[1e6]])):
        mean = codebook.posterior_mean(values, variance)
        assert torch.allclose(mean, Codebook.posterior_mean(codebook, values, variance), atol=1e-4)


def test_bytes_and_floats_decode_alike() -> None:
    pictures = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(-1, -1, -1, 3)
    codebook = DigitCodebook(evenly_spaced(7), 3, 258)
    numbers = to_image(pictures).permute(0, 2, 3, 1).reshape(-1, 3)
    assert torch.equal(codebook.nearest(numbers), codebook.nearest_bytes(pictures.reshape(-1, 3)))
