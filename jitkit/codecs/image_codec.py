"""The codec that a codebook and a layout make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from jitkit.codecs.codewords import COLUMNS, Codebook, Constant
from jitkit.codecs.layout import Layout, pixel_table
from jitkit.codecs.pixels import GRAY, to_image
from jitkit.protocols.codec import ALL_POSITIONS


@dataclass(frozen=True)
class Origin:
    """Where a codebook comes from that does not follow from its settings."""

    files: Mapping[str, bytes] = field(default_factory=dict)  # what it was read from
    tokenizer: str = ""  # fingerprint of the one whose ids it colours; "" where any will do


class ImageCodec:
    """A codebook whose codewords fill the pixels of a layout. Implements `jitkit.protocols.Codec`."""

    def __init__(
        self, codebook: Codebook, layout: Layout, image_size: int, patch_size: int, origin: Origin | None = None
    ) -> None:
        """Lay the codewords out. Raises ManifestError when no token fits, or patches do not fill the image."""
        self.origin = origin or Origin()
        self.codebook, self.image_size = codebook, image_size
        self.vocab_size, self._numbers = codebook.words.shape
        self.pixels_per_token = -(-self._numbers // 3)
        pixels = pixel_table(layout, self.pixels_per_token, image_size, patch_size)
        self.capacity = len(pixels)
        cell_of_pixel = torch.full((image_size * image_size,), -1)
        cell_of_pixel[pixels.flatten()] = torch.arange(pixels.numel())
        self._pixels = Constant(pixels.flatten())
        self._cell_of_pixel = Constant(cell_of_pixel.clamp(min=0))
        self._free_pixels = Constant((cell_of_pixel < 0).nonzero()[:, 0])
        padding = 3 * self.pixels_per_token - self._numbers
        self._cells = Constant(nn.functional.pad(codebook.words, (0, padding), value=GRAY))

    @property
    def margin(self) -> float:
        """Half the least Euclidean distance of two codewords, in units of x."""
        return self.codebook.margin

    @property
    def made_for(self) -> str:
        """Fingerprint of the tokenizer that the codewords were made for; "" where any will do."""
        return self.origin.tokenizer

    def files(self) -> Mapping[str, bytes]:
        """Return the files that a checkpoint must embed so that `build` works elsewhere (name as in the manifest)."""
        return self.origin.files

    def encode(self, tokens: Tensor) -> Tensor:
        """Return the image `x` [B, 3, H, W] float32 in [-1, 1] of `tokens` [B, L] int64."""
        return to_image(self.encode_bytes(tokens))

    def decode(self, image: Tensor) -> Tensor:
        """Return the nearest tokens [B, L] int64 of `image` [B, 3, H, W], any float values."""
        return self.codebook.nearest(self._numbers_in(image).flatten(0, 1)).view(len(image), self.capacity)

    def encode_bytes(self, tokens: Tensor) -> Tensor:
        """Return `tokens` [B, L] as 8-bit pictures [B, H, W, 3] uint8, RGB; exact."""
        num, size, device = len(tokens), self.image_size, tokens.device
        cells = nn.functional.embedding(tokens, self._cells.on(device)).view(num, -1, 3)  # [B, L k, 3]
        pictures = cells.index_select(1, self._cell_of_pixel.on(device))
        pictures.index_fill_(1, self._free_pixels.on(device), GRAY)
        return pictures.view(num, size, size, 3)

    def decode_bytes(self, pictures: Tensor) -> Tensor:
        """Return the nearest tokens [B, L] int64 of 8-bit pictures [B, H, W, 3] uint8."""
        cells = pictures.flatten(1, 2).index_select(1, self._pixels.on(pictures.device))  # [B, L k, 3]
        words = cells.view(len(pictures) * self.capacity, -1)[:, : self._numbers]
        return self.codebook.nearest_bytes(words).view(len(pictures), self.capacity)

    def token_logits(self, image: Tensor, sigma: Tensor, positions: slice = ALL_POSITIONS) -> Tensor:
        """Return the log-likelihood [B, L, V] float32, up to a constant, of each codeword; `sigma` [B] > 0.

        Of the tokens at `positions` only, where not of all.

        ``-|y - c|^2 / (2 sigma^2)`` less the term of |y|^2, which is the same for every codeword. Differentiable.
        """
        return self.codebook.scores(self._numbers_in(image, positions), sigma.float().square()[:, None, None])

    def mean_image(self, probabilities: Tensor) -> Tensor:
        """Return the mean image [B, 3, H, W] float32 when token l of image b is v with `probabilities` [B, L, V]."""
        return self.image_from_values(self.mean_codewords(probabilities))

    def mean_codewords(self, probabilities: Tensor) -> Tensor:
        """Return what the pixels of tokens hold on average, [..., 3 k] float32; `probabilities` [..., V]."""
        with torch.autocast(probabilities.device.type, enabled=False):
            means = probabilities.float() @ self._cell_numbers.on(probabilities.device)
        return means[..., : 3 * self.pixels_per_token]

    def posterior_mean(self, image: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean image [B, 3, H, W] float32 behind `image`, all ids being equally likely at each place.

        `image` [B, 3, H, W] is read as codeword + sigma * N(0, I), with `sigma` [B] > 0: the `mean_image` of the softmax of
        `token_logits`, which need not be gone through one by one where the codebook knows better.
        """
        words = self.codebook.posterior_mean(self._numbers_in(image), sigma.float().square()[:, None, None])
        padding = 3 * self.pixels_per_token - self._numbers
        return self.image_from_values(nn.functional.pad(words, (0, padding), value=GRAY / 127.5 - 1))

    def token_values(self, image: Tensor) -> Tensor:
        """Return what the pixels of each token hold, [B, L, k C], pixel by pixel, of `image` [B, C, H, W]."""
        tables = (table.on(image.device) for table in (self._pixels, self._cell_of_pixel, self._free_pixels))
        found: Tensor = _Read.apply(image.flatten(2).transpose(1, 2), *tables)  # type: ignore[no-untyped-call]
        return found.view(len(image), self.capacity, -1)

    def image_from_values(self, values: Tensor) -> Tensor:
        """Return the image [B, C, H, W] float32 whose tokens hold `values` [B, L, k C]; all else is grey."""
        num, device, channels = len(values), values.device, values.shape[2] // self.pixels_per_token
        image = torch.full((num, channels, self.image_size**2), float(GRAY), device=device) / 127.5 - 1
        image = image.index_copy(2, self._pixels.on(device), values.reshape(num, -1, channels).transpose(1, 2))
        return image.view(num, channels, self.image_size, self.image_size)

    def pixel_mask(self, token_mask: Tensor) -> Tensor:
        """Return [B, 1, H, W] bool: the pixels owned by the tokens where `token_mask` [B, L] bool is true."""
        num, device = len(token_mask), token_mask.device
        mask = torch.zeros((num, 1, self.image_size, self.image_size), dtype=torch.bool, device=device)
        owned = token_mask.repeat_interleave(self.pixels_per_token, 1)
        mask.view(num, -1).index_copy_(1, self._pixels.on(device), owned)
        return mask

    def token_mask(self, pixel_mask: Tensor) -> Tensor:
        """Return [B, L] bool: the tokens all of whose pixels are true in `pixel_mask` [B, 1, H, W] bool."""
        owned = pixel_mask.flatten(1).index_select(1, self._pixels.on(pixel_mask.device))
        return owned.view(len(pixel_mask), self.capacity, -1).all(2)

    @cached_property
    def _cell_numbers(self) -> Constant:
        """What the pixels of each token hold, padding too, [V, 3 k or more] float32 in units of x; then zeros."""
        numbers = self._cells.on(torch.device("cpu")).float() / 127.5 - 1
        return Constant(nn.functional.pad(numbers, (0, -numbers.shape[1] % COLUMNS)))

    def _numbers_in(self, image: Tensor, positions: slice = ALL_POSITIONS) -> Tensor:
        """Return the codewords [B, l, n] float32, noisy or not, that `image` [B, 3, H, W] holds at `positions`."""
        pixels = self._pixels.on(image.device).view(self.capacity, -1)[positions]
        cells = image.float().flatten(2).transpose(1, 2).index_select(1, pixels.flatten())  # [B, l k, 3]
        return cells.view(len(image), len(pixels), -1)[:, :, : self._numbers]


class _Read(torch.autograd.Function):
    """The numbers in some `pixels` [n] of [B, H W, C]. Each belongs to one token, so gradients need not be added, only put back."""

    generate_vmap_rule = True

    @staticmethod
    def forward(numbers: Tensor, pixels: Tensor, cell_of_pixel: Tensor, free_pixels: Tensor) -> Tensor:  # noqa: ARG004
        return numbers.index_select(1, pixels)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs[2:])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        cell_of_pixel, free_pixels = ctx.saved_tensors
        return g.index_select(1, cell_of_pixel).index_fill_(1, free_pixels, 0), None, None, None
