from dataclasses import dataclass

import pytest
import torch

from jitkit.codecs.text_order import patches_follow_text
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code


@pytest.mark.parametrize(
    "numbers", [8, 12, 15, 24, 48, 51, 100]
)  # 6, 4, 3, 2 and 1 tokens a patch; 2 and 3 patches a token
def test_patch_major_follows_the_text(numbers) -> None:
    assert patches_follow_text(Code(numbers=numbers).build(67, 16, 4), 4)


@pytest.mark.parametrize("numbers", [8, 12, 15, 24, 48])
def test_raster_mixes_rows(numbers) -> None:
    assert not patches_follow_text(Code(numbers=numbers, layout="raster").build(67, 16, 4), 4)


def test_raster_follows_the_text_where_a_patch_is_a_pixel_or_the_image() -> None:
    codec = Bits(layout="raster").build(8, 6, 1)
    assert patches_follow_text(codec, 1)
    assert patches_follow_text(codec, 6)
    assert not patches_follow_text(codec, 3)


@dataclass
class Placed:
    """What is asked of a codec: its token i owns pixel `pixels[i]`."""

    pixels: list[int]
    image_size: int

    @property
    def capacity(self) -> int:
        return len(self.pixels)

    def pixel_mask(self, token_mask: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(len(token_mask), self.image_size**2, dtype=torch.bool)
        mask[:, self.pixels] = token_mask
        return mask.view(-1, 1, self.image_size, self.image_size)


@pytest.mark.parametrize(
    ("pixels", "follows"), [([0, 1, 2], True), ([0, 1, 3], True), ([2, 3], True), ([1, 0, 2], False), ([3, 0], False)]
)
def test_patches_in_which_nobody_owns_a_pixel_are_passed_over(pixels, follows) -> None:
    assert patches_follow_text(Placed(pixels, 2), 1) == follows


def test_a_last_patch_too_small_for_a_token_does_not_count() -> None:
    assert patches_follow_text(Code(numbers=51).build(67, 12, 4), 4)  # 4 tokens of 2 patches: the ninth patch is empty
