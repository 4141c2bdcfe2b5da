"""Tokens to image and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from jitkit.files import WORKING_FOLDER, Files

if TYPE_CHECKING:
    from torch import Tensor


ALL_POSITIONS = slice(None)


class Codec(Protocol):
    """Each token owns a few pixels of an RGB image; the values in them are its *codeword*.

    Requirements:

    - `decode(encode(tokens)) == tokens`, also after the image has passed through an 8-bit PNG.
    - `encode` stays in [-1, 1].
    - `decode` finds the nearest codeword. It is exact under any noise whose norm per token is below `margin`, and it
      never returns an id outside [0, vocab_size).
    - `token_logits` has its maximum at `decode`.
    - `mean_image` is linear. It equals `encode` for one-hot probabilities, and `image_from_values(mean_codewords(...))`.
    - `posterior_mean` is the `mean_image` of the softmax of `token_logits`.
    - `token_mask` inverts `pixel_mask`.
    - `token_values` returns the values in the pixels that a token owns, and no others.
    - `files` returns everything that is needed to build the codec elsewhere.
    """

    @property
    def image_size(self) -> int:
        """Height and width of an image, in pixels."""

    @property
    def vocab_size(self) -> int:
        """Number of ids; every id below it is valid."""

    @property
    def capacity(self) -> int:
        """Tokens per image, L."""

    @property
    def pixels_per_token(self) -> int:
        """Pixels that one token owns, k; its codeword has 3 k values."""

    @property
    def margin(self) -> float:
        """Half the smallest Euclidean distance between two codewords, in units of x (range [-1, 1])."""

    @property
    def tokenizer_fingerprint(self) -> str:
        """Fingerprint of the tokenizer that the codewords were made for; "" if they suit any tokenizer."""

    def files(self) -> Mapping[str, bytes]:
        """Return the files that a checkpoint must embed to rebuild the codec elsewhere (names as in the manifest)."""

    def encode(self, tokens: Tensor) -> Tensor:
        """Return the image `x` [B, 3, H, W] float32 in [-1, 1] of `tokens` [B, L] int64."""

    def decode(self, image: Tensor) -> Tensor:
        """Return the nearest tokens [B, L] int64 of `image` [B, 3, H, W], any float values."""

    def encode_bytes(self, tokens: Tensor) -> Tensor:
        """Return `tokens` [B, L] as 8-bit RGB pictures [B, H, W, 3] uint8; exact."""

    def decode_bytes(self, pictures: Tensor) -> Tensor:
        """Return the nearest tokens [B, L] int64 of 8-bit pictures [B, H, W, 3] uint8."""

    def token_logits(self, image: Tensor, sigma: Tensor, positions: slice = ALL_POSITIONS) -> Tensor:
        """Return the log-likelihood [B, l, V] of each codeword at `positions`, up to a constant.

        The model is ``image = codeword + sigma * N(0, I)``, with `image` [B, 3, H, W] and `sigma` > 0, [B] or, for noise
        that differs between tokens, [B, L].
        """

    def mean_codewords(self, probabilities: Tensor) -> Tensor:
        """Return the mean codewords [..., 3 k] float32 under `probabilities` [..., V]."""

    def image_from_values(self, values: Tensor) -> Tensor:
        """Return the image [B, C, H, W] float32 whose tokens own `values` [B, L, k C]; `token_values` inverts it."""

    def mean_image(self, probabilities: Tensor) -> Tensor:
        """Return the mean image [B, 3, H, W] float32 under the token probabilities [B, L, V]."""

    def posterior_mean(self, image: Tensor, sigma: Tensor) -> Tensor:
        """Return the posterior mean image [B, 3, H, W] float32, in the model of `token_logits` with a uniform prior."""

    def token_values(self, image: Tensor) -> Tensor:
        """Return the values in the pixels of each token [B, L, k C]; `image` [B, C, H, W] has any number of channels."""

    def pixel_mask(self, token_mask: Tensor) -> Tensor:
        """Return [B, 1, H, W] bool: the pixels owned by the tokens where `token_mask` [B, L] bool is true."""

    def token_mask(self, pixel_mask: Tensor) -> Tensor:
        """Return [B, L] bool: the tokens whose pixels are all true in `pixel_mask` [B, 1, H, W] bool."""


@runtime_checkable
class CodecComponent(Protocol):
    """Settings of a codec: the table `[codec]`."""

    name: ClassVar[str]

    def build(self, vocab_size: int, image_size: int, patch_size: int, files: Files = WORKING_FOLDER) -> Codec:
        """Return the codec for ids below `vocab_size` in square images of square patches; `files` resolves names.

        Raises ManifestError if the codec cannot hold the vocabulary or no token fits into an image, and InputError for
        a file that is missing, damaged or made for another vocabulary.
        """
