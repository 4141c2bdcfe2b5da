"""How well a model predicts unseen text, in the unit that all language models share."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from jitkit.component import Component
from jitkit.errors import InputError
from jitkit.evaluation.intervals import ratio_with_interval
from jitkit.evaluation.likelihood import likelihood_bound
from jitkit.evaluation.subject import Subject
from jitkit.protocols import Measurement, Row


class Likelihood(Component):
    """Upper bound of the bits that the model needs to say held-out text (variational, continuous time)."""

    name: ClassVar[str] = "likelihood"

    num_times: Annotated[int, Field(ge=1, description="places of the path at which each window is measured")] = 8

    def measure(self, subject: Subject) -> Measurement:
        """Return `bits_per_token`, `bits_per_character`, `bits_per_byte` of all held-out windows, with their intervals.

        A row for the `bound`, one for each of its parts (see `jitkit.evaluation.likelihood`), and one for guessing every
        token with equal odds. The bits are those of whole windows, eos and padding included, divided by the number of
        tokens (padding is none), by that of characters, or by that of bytes of their text. A model trained with
        `train.pack` has never seen padding, so the window that the text's end leaves half empty is not measured. Raises
        InputError for windows without a character.
        """
        pipeline, windows, done = subject.pipeline, _measured(subject), 0
        ids = [[token for token in row if token != pipeline.tokenizer.pad_id] for row in windows.tolist()]
        texts = [pipeline.tokenizer.decode_bytes(row) for row in ids]
        if not any(texts):
            raise InputError("held-out windows without a character", "text")

        def advance(images: int) -> None:
            nonlocal done
            done += images
            subject.progress("likelihood", done, len(windows) * self.num_times)

        bound = likelihood_bound(
            pipeline.denoiser,
            windows,
            seed=subject.seed,
            batch_size=subject.batch_size,
            num_times=self.num_times,
            device=pipeline.device,
            advance=advance,
        )
        sizes = {
            "bits_per_token": [float(len(row)) for row in ids],
            "bits_per_character": [float(_num_characters(text)) for text in texts],
            "bits_per_byte": [float(len(text)) for text in texts],
        }

        def row(name: str, bits: Tensor) -> Row:
            figures: dict[str, float | str] = {"part": name}
            for key, size in sizes.items():
                figures |= ratio_with_interval(key, bits.tolist(), size, subject.seed)
            return figures

        uniform = math.log2(pipeline.codec.vocab_size) * windows.shape[1]
        return [
            row("bound", bound.diffusion + bound.reconstruction),
            row("diffusion", bound.diffusion),
            row("reconstruction", bound.reconstruction),
            {"part": "uniform guess", **{key: uniform * len(windows) / sum(size) for key, size in sizes.items()}},
        ]


def _measured(subject: Subject) -> Tensor:
    windows, pipeline = subject.held_out, subject.pipeline
    return windows[(windows != pipeline.tokenizer.pad_id).all(1)] if pipeline.manifest.train.pack else windows


def _num_characters(text: bytes) -> int:
    """Return how many characters begin in `text`; one that a window's end cuts in two belongs to where it begins."""
    return sum(byte & 0xC0 != 0x80 for byte in text)
