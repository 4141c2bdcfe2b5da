import pytest

from jitkit.codecs.text_order import follows_the_text
from jitkit.testing.toys import toy_codec
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code


@pytest.mark.parametrize(
    "numbers", [8, 12, 15, 24, 48, 51, 100]
)  # 6, 4, 3, 2 and 1 tokens a patch; 2 and 3 patches a token
def test_patch_major_follows_the_text(numbers) -> None:
    assert follows_the_text(Code(numbers=numbers).build(67, 16, 4), 4)


@pytest.mark.parametrize("numbers", [8, 12, 15, 24, 48])
def test_raster_mixes_rows(numbers) -> None:
    assert not follows_the_text(Code(numbers=numbers, layout="raster").build(67, 16, 4), 4)


def test_raster_follows_the_text_where_a_patch_is_a_pixel_or_the_image() -> None:
    codec = Bits(layout="raster").build(8, 6, 1)
    assert follows_the_text(codec, 1)
    assert follows_the_text(codec, 6)
    assert not follows_the_text(codec, 3)


def test_patches_in_which_nobody_owns_a_pixel_are_passed_over() -> None:
    assert toy_codec(4).capacity == 16
    assert follows_the_text(Code(numbers=51).build(67, 12, 4), 4)  # 4 tokens of 2 patches: the ninth patch is empty
