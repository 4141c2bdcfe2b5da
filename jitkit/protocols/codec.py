"""Tokens to image and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from jitkit.files import WORKING_FOLDER, Files

if TYPE_CHECKING:
    from torch import Tensor


EVERYWHERE = slice(None)


class Codec(Protocol):
    """Each token owns a few pixels of an RGB image; the numbers in them are its *codeword*.

    Laws: `decode(encode(tokens)) == tokens`, also after the image went through an 8-bit PNG; `encode` stays in [-1, 1];
    `decode` finds the nearest codeword, so it is exact through any noise whose norm a token is below `margin`, and never
    yields an id outside [0, vocab_size); `token_logits` has its maximum at `decode`; `mean_image` is linear, `encode`
    where there is no doubt, and `write` of `mean_codewords`; `posterior_mean` is the `mean_image` of the softmax of
    `token_logits`; `token_mask` inverts `pixel_mask`; `read` says what is in the pixels that a token owns and nothing else;
    what `files` returns is enough to build it elsewhere.
    """

    @property
    def image_size(self) -> int:
        """Height and width of an image, in pixels."""
        ...

    @property
    def vocab_size(self) -> int:
        """Number of ids it can carry; every id below it is valid."""
        ...

    @property
    def capacity(self) -> int:
        """Tokens an image, L."""
        ...

    @property
    def pixels_per_token(self) -> int:
        """Pixels that one token owns, k; its codeword is 3 k numbers."""
        ...

    @property
    def margin(self) -> float:
        """Half the least Euclidean distance of two codewords, in units of x (range [-1, 1])."""
        ...

    @property
    def made_for(self) -> str:
        """Fingerprint of the tokenizer that the codewords were made for; "" where any will do."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """Return the files that a checkpoint must embed so that `build` works elsewhere (name as in the manifest)."""
        ...

    def encode(self, tokens: Tensor) -> Tensor:
        """Return the image `x` [B, 3, H, W] float32 in [-1, 1] of `tokens` [B, L] int64."""
        ...

    def decode(self, image: Tensor) -> Tensor:
        """Return the nearest tokens [B, L] int64 of `image` [B, 3, H, W], any float values."""
        ...

    def encode_bytes(self, tokens: Tensor) -> Tensor:
        """Return `tokens` [B, L] as 8-bit pictures [B, H, W, 3] uint8, RGB; exact."""
        ...

    def decode_bytes(self, pictures: Tensor) -> Tensor:
        """Return the nearest tokens [B, L] int64 of 8-bit pictures [B, H, W, 3] uint8."""
        ...

    def token_logits(self, image: Tensor, sigma: Tensor, places: slice = EVERYWHERE) -> Tensor:
        """Return the log-likelihood [B, L, V], up to a constant, of each codeword; of the tokens at `places` only.

        `image` [B, 3, H, W] is read as codeword + sigma * N(0, I), with `sigma` [B] > 0.
        """
        ...

    def mean_codewords(self, probabilities: Tensor) -> Tensor:
        """Return what the pixels of tokens hold on average, [..., 3 k] float32; one is v with `probabilities` [..., V]."""
        ...

    def write(self, numbers: Tensor) -> Tensor:
        """Return the image [B, C, H, W] float32 whose tokens hold `numbers` [B, L, k C]: `read` gives them back."""
        ...

    def mean_image(self, probabilities: Tensor) -> Tensor:
        """Return the mean image [B, 3, H, W] float32 when token l of image b is v with `probabilities` [B, L, V]."""
        ...

    def posterior_mean(self, image: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean image [B, 3, H, W] float32 behind `image`, read as for `token_logits`; all ids are equally likely."""
        ...

    def read(self, image: Tensor) -> Tensor:
        """Return what the pixels of each token hold, [B, L, k C], of `image` [B, C, H, W] with any number of channels."""
        ...

    def pixel_mask(self, token_mask: Tensor) -> Tensor:
        """Return [B, 1, H, W] bool: the pixels owned by the tokens where `token_mask` [B, L] bool is true."""
        ...

    def token_mask(self, pixel_mask: Tensor) -> Tensor:
        """Return [B, L] bool: the tokens all of whose pixels are true in `pixel_mask` [B, 1, H, W] bool."""
        ...


@runtime_checkable
class CodecComponent(Protocol):
    """Settings of a codec: the table `[codec]`."""

    name: ClassVar[str]

    def build(self, vocab_size: int, image_size: int, patch_size: int, files: Files = WORKING_FOLDER) -> Codec:
        """Return the codec for ids below `vocab_size` in square images cut into square patches; `files` resolves names.

        Raises ManifestError when the vocabulary is larger than the codec can hold or no token fits an image, InputError
        for a missing or damaged file, or one of another vocabulary.
        """
        ...
