"""Texts that no model wrote: each is bad in one way, and wins some column of a table of generated text.

A judge alone is fooled by copies, entropy alone by noise; whoever reads all columns is not. (Periodic and shuffled
copies that beat trained models in perplexity: 2606.08417.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch

from jitkit.evaluation.ngrams import NGrams

PERIOD = 64  # characters of the phrase that a periodic text repeats, at most


def baseline_texts(
    training: str, judge: NGrams, lengths: Sequence[int], generators: Sequence[torch.Generator]
) -> dict[str, list[str]]:
    """Return the texts of every control, one of each of `lengths` (in characters), by the control's name.

    `shuffled words`: a stretch of `training`, its words in random order. `unigram`: characters drawn one by one from
    their frequencies. `6-gram`: drawn from the judge itself. `periodic`: a phrase of `training`, a quarter of the length
    long and at most `PERIOD` characters, over and over. A text follows from its own generator and length alone.
    """
    unigram = NGrams(training, order=1)
    pairs = list(zip(lengths, generators, strict=True))
    return {
        "shuffled words": [_shuffled(training, length, generator) for length, generator in pairs],
        "unigram": _sampled(unigram, lengths, generators),
        f"{judge.order}-gram": _sampled(judge, lengths, generators),
        "periodic": [_periodic(training, length, generator) for length, generator in pairs],
    }


def _shuffled(training: str, length: int, generator: torch.Generator) -> str:
    """Return a stretch with its words in random order; what stands between them stays where it is."""
    pieces = re.split(r"(\s+)", _stretch(training, length, generator))
    words = pieces[::2]
    order = torch.randperm(len(words), generator=generator).tolist()
    pieces[::2] = [words[place] for place in order]
    return "".join(pieces)


def _periodic(training: str, length: int, generator: torch.Generator) -> str:
    period = min(PERIOD, -(-length // 4))
    return _repeated(_stretch(training, period, generator), length)


def _stretch(training: str, length: int, generator: torch.Generator) -> str:
    """Return `length` characters from a random place; of the whole text, repeated, where it is shorter."""
    start = int(torch.randint(max(1, len(training) - length + 1), (1,), generator=generator))
    return _repeated(training[start : start + length], length)


def _repeated(text: str, length: int) -> str:
    return (text * (length // max(1, len(text)) + 1))[:length]


def _sampled(model: NGrams, lengths: Sequence[int], generators: Sequence[torch.Generator]) -> list[str]:
    uniforms = np.zeros((len(lengths), max(lengths), model.order + 1))
    for row, length, generator in zip(uniforms, lengths, generators, strict=True):
        row[:length] = torch.rand(length, model.order + 1, generator=generator, dtype=torch.float64).numpy()
    return model.sample(np.array(lengths), uniforms)
