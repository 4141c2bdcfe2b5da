from dataclasses import dataclass

import pytest
import torch

from jitkit.codecs.layout import patches_follow_text, pixel_table
from jitkit.errors import ManifestError
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.codecs.code import Code


@pytest.mark.parametrize("layout", ["raster", "patch-major"])
@pytest.mark.parametrize("k", [1, 3, 5, 16, 17, 40])
def test_tokens_own_disjoint_pixels(layout, k) -> None:
    table = pixel_table(layout, k, 16, 4)
    assert table.shape[1] == k
    assert table.unique().numel() == table.numel()
    assert table.min() >= 0
    assert table.max() < 256


def test_raster_is_row_major() -> None:
    table = pixel_table("raster", 3, 8, 4)
    assert len(table) == 64 // 3
    assert torch.equal(table.flatten(), torch.arange(63))


@pytest.mark.parametrize(("k", "tokens_per_patch"), [(1, 16), (3, 5), (5, 3), (16, 1)])
def test_a_patch_holds_consecutive_whole_tokens(k, tokens_per_patch) -> None:
    table = pixel_table("patch-major", k, 8, 4)
    patch_of_pixel = torch.arange(64) // 8 // 4 * 2 + torch.arange(64) % 8 // 4
    assert torch.equal(
        patch_of_pixel[table], torch.arange(4).repeat_interleave(tokens_per_patch)[:, None].expand(-1, k)
    )


def test_pixels_in_a_patch_are_row_major() -> None:
    assert pixel_table("patch-major", 2, 8, 4)[:3].tolist() == [[0, 1], [2, 3], [8, 9]]


@pytest.mark.parametrize(("k", "tokens"), [(17, 8), (32, 8), (33, 5), (48, 5), (256, 1)])
def test_a_token_larger_than_a_patch_starts_at_a_patch(k, tokens) -> None:
    table = pixel_table("patch-major", k, 16, 4)
    starts = pixel_table("patch-major", 16, 16, 4)[:, 0].tolist()
    assert len(table) == tokens
    assert set(table[:, 0].tolist()) <= set(starts)


@pytest.mark.parametrize("layout", ["raster", "patch-major"])
def test_a_token_larger_than_the_image_is_an_error(layout) -> None:
    with pytest.raises(ManifestError, match="tokens of 17 pixels in an image of 4x4"):
        pixel_table(layout, 17, 4, 4)


def test_patches_must_fill_the_image() -> None:
    with pytest.raises(ManifestError, match="found patch_size 5; expected a divisor of image_size 16"):
        pixel_table("patch-major", 1, 16, 5)


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
