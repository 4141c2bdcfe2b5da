from dataclasses import dataclass

import pytest
import torch

from jitkit.codecs.text_order import patches_follow_text
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code


@pytest.mark.parametrize(
    "numbers", [8, 12, 15, 24, 48, 51, 100]
)  # 6, 4, 3, 2 and 1 tokens per patch; 2 and 3 patches per token
def test_patch_major_is_in_text_order(numbers) -> None:
    assert patches_follow_text(Code(numbers=numbers).build(67, 16, 4), 4)


@pytest.mark.parametrize("numbers", [8, 12, 15, 24, 48])
def test_raster_is_not_in_text_order(numbers) -> None:
    assert not patches_follow_text(Code(numbers=numbers, layout="raster").build(67, 16, 4), 4)


def test_raster_is_in_text_order_if_a_patch_is_a_pixel_or_the_image() -> None:
    codec = Bits(layout="raster").build(8, 6, 1)
    assert patches_follow_text(codec, 1)
    assert patches_follow_text(codec, 6)
    assert not patches_follow_text(codec, 3)


@dataclass
class Placed:
    """A minimal codec whose token i owns pixel `pixels[i]`."""

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
def test_patches_without_tokens_are_ignored(pixels, follows) -> None:
    assert patches_follow_text(Placed(pixels, 2), 1) == follows


def test_a_last_patch_without_a_token_is_ignored() -> None:
    assert patches_follow_text(Code(numbers=51).build(67, 12, 4), 4)  # 4 tokens of 2 patches: the ninth patch is empty
