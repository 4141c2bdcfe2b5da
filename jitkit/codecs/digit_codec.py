"""The base class of codecs that write an id in some base."""

from __future__ import annotations

from abc import abstractmethod

from pydantic import Field

from jitkit.codecs.digits import DigitCodebook, Digits
from jitkit.codecs.image_codec import ImageCodec
from jitkit.codecs.layout import Layout
from jitkit.component import Component
from jitkit.errors import ManifestError
from jitkit.files import WORKING_FOLDER, Files

MAX_CODES = 2**53  # digits are summed in float64, which is exact for integers up to here


class DigitCodec(Component):
    """Base class of codecs that encode ids digit by digit. A subclass needs a docstring, a `name`, and `digits`."""

    layout: Layout = Field("patch-major", description="order in which tokens fill the image")

    @abstractmethod
    def digits(self, vocab_size: int) -> Digits:
        """Return the digit code for ids below `vocab_size`."""

    def build(self, vocab_size: int, image_size: int, patch_size: int, files: Files = WORKING_FOLDER) -> ImageCodec:
        """Return the codec. Raises ManifestError if the vocabulary or a token does not fit."""
        del files  # the settings determine the codebook
        levels, num_digits, order = self.digits(vocab_size)
        codes = len(levels) ** num_digits
        if vocab_size > codes:
            expected = f"at most {codes} ids, the capacity of {num_digits} digits of base {len(levels)}"
            raise ManifestError(f"a vocabulary of {vocab_size}", expected)
        if codes > MAX_CODES:
            raise ManifestError(f"{num_digits} digits of base {len(levels)}", "at most 2**53 codes")
        return ImageCodec(DigitCodebook(levels, num_digits, vocab_size, order), self.layout, image_size, patch_size)
