import pytest
import torch

from jitkit.assembly import assemble
from jitkit.errors import ManifestError
from jitkit.testing import parametrize_conformance
from jitkit.testing.toys import Straight
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code
from jitkit_plugins.codecs.digits import StretchedDigits
from jitkit_plugins.codecs.palette import Palette
from jitkit_plugins.objectives.bitwise import Bitwise
from jitkit_plugins.objectives.codeword import nucleus
from tests.tiny import resolved


@parametrize_conformance(
    "objective",
    Bitwise(),
    Bitwise(self_conditioning=0.5, known=0.25),
    Bitwise(temperature=0.6, top_p=0.8),
    Bitwise(flow_weight=0.5),
)
def test_conformance(conformance_test):
    conformance_test()


@pytest.mark.parametrize("codec", [Bits().build(11, 8, 4), Code(numbers=16).build(67, 16, 4), Bits().build(3, 7, 7)])
def test_signs_are_taken_whatever_pads_them(codec):
    Bitwise().check(codec)


@pytest.mark.parametrize("codec", [Palette(), StretchedDigits()])
def test_numbers_between_the_ends_are_refused(codec):
    with pytest.raises(ManifestError, match=r"found bitwise with a codec whose numbers lie between -1 and 1"):
        Bitwise().check(codec.build(67, 16, 4))


def test_a_codec_that_does_not_fit_is_an_error_of_the_manifest():
    with pytest.raises(ManifestError, match=r"--set: objective\.use: found bitwise.*codeword accepts any codec"):
        assemble(resolved("objective={use='bitwise'}", "codec={use='palette'}"))


def test_numbers_that_carry_nothing_cost_nothing_and_are_what_they_are():
    codec, path = Bits().build(11, 8, 4), Straight()  # 4 bits in 6 numbers
    tokens = torch.arange(codec.capacity)[None] % 11
    x, t = codec.encode(tokens), torch.tensor([0.5])
    carried = x.abs() == 1
    x_hat = Bitwise().estimate(50 * torch.randn(x.shape), x / 2, t, schedule=path, codec=codec)
    assert torch.equal(x_hat[~carried], x[~carried])
    assert not torch.equal(x_hat[carried], x[carried])


def test_temperature_and_top_p_are_those_of_each_bit():
    """Written out as the probabilities of two values."""
    codec, path, t = Bits().build(64, 8, 2), Straight(), torch.tensor([0.4, 0.7])
    raw, z = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    half = Bitwise()._half_log_odds(raw, z, t, path)
    odds = (torch.stack([-half, half], -1) / 0.7).softmax(-1)
    decided = nucleus(odds, 0.9)
    for objective, shares in (
        (Bitwise(temperature=0.7), odds),
        (Bitwise(temperature=0.7, top_p=0.9), decided),
    ):
        x_hat = objective.estimate(raw, z, t, schedule=path, codec=codec)
        assert torch.allclose(x_hat, shares[..., 1] - shares[..., 0], atol=1e-6)
    assert 0.1 < (decided.amax(-1) == 1).float().mean() < 0.9
