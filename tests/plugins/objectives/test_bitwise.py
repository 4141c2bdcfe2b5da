import pytest
import torch

from jitkit.assembly import assemble
from jitkit.errors import ManifestError
from jitkit.testing import parametrize_laws
from jitkit.testing.toys import Straight
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code
from jitkit_plugins.codecs.digits import StretchedDigits
from jitkit_plugins.codecs.palette import Palette
from jitkit_plugins.objectives.bitwise import Bitwise
from tests.tiny import resolved


@parametrize_laws("objective", Bitwise(), Bitwise(self_conditioning=0.5, known=0.25))
def test_laws(law):
    law()


@pytest.mark.parametrize("codec", [Bits().build(11, 8, 4), Code(numbers=16).build(67, 16, 4), Bits().build(3, 7, 7)])
def test_signs_are_taken_whatever_pads_them(codec):
    Bitwise().check(codec)


@pytest.mark.parametrize("codec", [Palette(), StretchedDigits()])
def test_numbers_between_the_ends_are_refused(codec):
    with pytest.raises(ManifestError, match=r"found bitwise beside a codec with numbers between -1 and 1"):
        Bitwise().check(codec.build(67, 16, 4))


def test_the_manifest_is_told():
    with pytest.raises(ManifestError, match=r"tiny\.toml.*objective\.use: found bitwise.*codeword takes any codec"):
        assemble(resolved("objective={use='bitwise'}", "codec={use='palette'}"))


def test_numbers_that_carry_nothing_cost_nothing_and_are_what_they_are():
    codec, path = Bits().build(11, 8, 4), Straight()  # 4 bits in 6 numbers
    tokens = torch.arange(codec.capacity)[None] % 11
    x, t = codec.encode(tokens), torch.tensor([0.5])
    carried = x.abs() == 1
    x_hat = Bitwise().estimate(50 * torch.randn(x.shape), x / 2, t, schedule=path, codec=codec)
    assert torch.equal(x_hat[~carried], x[~carried])
    assert not torch.equal(x_hat[carried], x[carried])
