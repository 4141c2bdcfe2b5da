"""A codec made of a codebook and a layout, and conversion between 8-bit pictures and float images: ``x = byte / 127.5 - 1``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from jitkit.codecs.codewords import COLUMNS, Codebook, Constant
from jitkit.codecs.layout import Layout, pixel_table
from jitkit.protocols.codec import ALL_POSITIONS

GRAY = 128  # byte of unused pixels and values: the integer nearest to x = 0


def to_image(pictures: Tensor) -> Tensor:
    """Return pictures [B, H, W, 3] uint8 as images [B, 3, H, W] float32 in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format) / 127.5 - 1


def to_pictures(images: Tensor) -> Tensor:
    """Return images [B, 3, H, W] as pictures [B, H, W, 3] uint8, rounded and clamped."""
    values = ((images.detach().float() + 1) * 127.5).round().clamp(0, 255)
    return values.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


class ImageCodec:
    """A codebook whose codewords fill the pixels of a layout. Implements `jitkit.protocols.Codec`.

    A slot is one pixel of a token: token l owns the slots l k .. l k + k - 1.
    """

    def __init__(
        self,
        codebook: Codebook,
        layout: Layout,
        image_size: int,
        patch_size: int,
        *,
        files: Mapping[str, bytes] | None = None,
        tokenizer_fingerprint: str = "",
    ) -> None:
        """Lay out the codewords. Raises ManifestError if no token fits, or patches do not fill the image."""
        self.codebook, self.image_size = codebook, image_size
        self.tokenizer_fingerprint, self._files = tokenizer_fingerprint, files or {}
        self.vocab_size, self._num_values = codebook.words.shape
        self.pixels_per_token = -(-self._num_values // 3)
        pixels = pixel_table(layout, self.pixels_per_token, image_size, patch_size)
        self.capacity = len(pixels)
        slot_of_pixel = torch.full((image_size * image_size,), -1)
        slot_of_pixel[pixels.flatten()] = torch.arange(pixels.numel())
        self._pixel_of_slot = Constant(pixels.flatten())
        self._slot_of_pixel = Constant(slot_of_pixel.clamp(min=0))
        self._unowned_pixels = Constant((slot_of_pixel < 0).nonzero()[:, 0])
        self._padding = (0, 3 * self.pixels_per_token - self._num_values)
        self._words = Constant(nn.functional.pad(codebook.words, self._padding, value=GRAY))  # [V, 3 k]

    @property
    def margin(self) -> float:
        """Half the smallest Euclidean distance between two codewords, in units of x."""
        return self.codebook.margin

    def files(self) -> Mapping[str, bytes]:
        """Return the files that a checkpoint must embed to rebuild the codec elsewhere (names as in the manifest)."""
        return self._files

    def encode(self, tokens: Tensor) -> Tensor:
        """Return the image `x` [B, 3, H, W] float32 in [-1, 1] of `tokens` [B, L] int64."""
        return to_image(self.encode_bytes(tokens))

    def decode(self, image: Tensor) -> Tensor:
        """Return the nearest tokens [B, L] int64 of `image` [B, 3, H, W], any float values."""
        return self.codebook.nearest(self._noisy_words(image).flatten(0, 1)).view(len(image), self.capacity)

    def encode_bytes(self, tokens: Tensor) -> Tensor:
        """Return `tokens` [B, L] as 8-bit RGB pictures [B, H, W, 3] uint8; exact."""
        num, size, device = len(tokens), self.image_size, tokens.device
        slots = nn.functional.embedding(tokens, self._words.on(device)).view(num, -1, 3)  # [B, L k, 3]
        pictures = slots.index_select(1, self._slot_of_pixel.on(device))
        pictures.index_fill_(1, self._unowned_pixels.on(device), GRAY)
        return pictures.view(num, size, size, 3)

    def decode_bytes(self, pictures: Tensor) -> Tensor:
        """Return the nearest tokens [B, L] int64 of 8-bit pictures [B, H, W, 3] uint8."""
        slots = pictures.flatten(1, 2).index_select(1, self._pixel_of_slot.on(pictures.device))  # [B, L k, 3]
        words = slots.view(len(pictures) * self.capacity, -1)[:, : self._num_values]
        return self.codebook.nearest_bytes(words).view(len(pictures), self.capacity)

    def token_logits(self, image: Tensor, sigma: Tensor, positions: slice = ALL_POSITIONS) -> Tensor:
        """Return ``-|y - c|^2 / (2 sigma^2)`` without its term in ``|y|^2``, [B, l, V] float32; differentiable."""
        return self.codebook.scores(self._noisy_words(image, positions), _variance(sigma, positions))

    def mean_image(self, probabilities: Tensor) -> Tensor:
        """Return the mean image [B, 3, H, W] float32 under the token probabilities [B, L, V]."""
        return self.image_from_values(self.mean_codewords(probabilities))

    def mean_codewords(self, probabilities: Tensor) -> Tensor:
        """Return the mean codewords [..., 3 k] float32 under `probabilities` [..., V]."""
        with torch.autocast(probabilities.device.type, enabled=False):
            means = probabilities.float() @ self._word_values.on(probabilities.device)
        return means[..., : 3 * self.pixels_per_token]

    def posterior_mean(self, image: Tensor, sigma: Tensor) -> Tensor:
        """Return the posterior mean image [B, 3, H, W] float32 under a uniform prior; `sigma` [B] or [B, L] > 0."""
        words = self.codebook.posterior_mean(self._noisy_words(image), _variance(sigma))
        return self.image_from_values(nn.functional.pad(words, self._padding, value=GRAY / 127.5 - 1))

    def token_values(self, image: Tensor) -> Tensor:
        """Return the values in the pixels of each token [B, L, k C], pixel by pixel, of `image` [B, C, H, W]."""
        tables = (table.on(image.device) for table in (self._pixel_of_slot, self._slot_of_pixel, self._unowned_pixels))
        found: Tensor = _GatherSlots.apply(image.flatten(2).transpose(1, 2), *tables)  # type: ignore[no-untyped-call]
        return found.view(len(image), self.capacity, -1)

    def image_from_values(self, values: Tensor) -> Tensor:
        """Return the image [B, C, H, W] float32 whose tokens own `values` [B, L, k C]; other pixels are gray."""
        num, device, channels = len(values), values.device, values.shape[2] // self.pixels_per_token
        image = torch.full((num, channels, self.image_size**2), float(GRAY), device=device) / 127.5 - 1
        image = image.index_copy(2, self._pixel_of_slot.on(device), values.reshape(num, -1, channels).transpose(1, 2))
        return image.view(num, channels, self.image_size, self.image_size)

    def pixel_mask(self, token_mask: Tensor) -> Tensor:
        """Return [B, 1, H, W] bool: the pixels owned by the tokens where `token_mask` [B, L] bool is true."""
        num, device = len(token_mask), token_mask.device
        mask = torch.zeros((num, 1, self.image_size, self.image_size), dtype=torch.bool, device=device)
        owned = token_mask.repeat_interleave(self.pixels_per_token, 1)
        mask.view(num, -1).index_copy_(1, self._pixel_of_slot.on(device), owned)
        return mask

    def token_mask(self, pixel_mask: Tensor) -> Tensor:
        """Return [B, L] bool: the tokens whose pixels are all true in `pixel_mask` [B, 1, H, W] bool."""
        owned = pixel_mask.flatten(1).index_select(1, self._pixel_of_slot.on(pixel_mask.device))
        return owned.view(len(pixel_mask), self.capacity, -1).all(2)

    @cached_property
    def _word_values(self) -> Constant:
        """Codewords in units of x, padded to [V, 3 k or more] float32."""
        values = self._words.on(torch.device("cpu")).float() / 127.5 - 1
        return Constant(nn.functional.pad(values, (0, -values.shape[1] % COLUMNS)))

    def _noisy_words(self, image: Tensor, positions: slice = ALL_POSITIONS) -> Tensor:
        """Return the codewords, possibly noisy, [B, l, n] float32, at `positions` of `image` [B, 3, H, W]."""
        pixels = self._pixel_of_slot.on(image.device).view(self.capacity, -1)[positions]
        slots = image.float().flatten(2).transpose(1, 2).index_select(1, pixels.flatten())  # [B, l k, 3]
        return slots.view(len(image), len(pixels), -1)[:, :, : self._num_values]


def _variance(sigma: Tensor, positions: slice = ALL_POSITIONS) -> Tensor:
    """Return the variance [B, 1 or l, 1] of the noise of deviation `sigma`, one for each image [B] or token [B, L]."""
    variance = sigma.float().square()
    return variance[:, None, None] if variance.ndim == 1 else variance[:, positions, None]


class _GatherSlots(torch.autograd.Function):
    """Gather slots from pixels [B, H W, C]. Each pixel has at most one slot, so the backward pass is a gather too."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, pixel_of_slot: Tensor, slot_of_pixel: Tensor, unowned: Tensor) -> Tensor:  # noqa: ARG004
        return values.index_select(1, pixel_of_slot)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        slot_of_pixel, unowned = ctx.saved_tensors
        return g.index_select(1, slot_of_pixel).index_fill_(1, unowned, 0), None, None, None
