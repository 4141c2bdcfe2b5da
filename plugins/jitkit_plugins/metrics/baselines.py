"""Simple baselines for generated text. Each is poor text, but wins some column of the table.

An n-gram model alone prefers copies, entropy alone prefers noise; only all columns together tell them from real text.
(Periodic and shuffled copies that beat trained models in perplexity: 2606.08417.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch

from jitkit_plugins.metrics.ngrams import NGramModel

PERIOD = 64  # characters of the phrase that a periodic text repeats, at most


def baseline_texts(
    training: str, model: NGramModel, lengths: Sequence[int], generators: Sequence[torch.Generator]
) -> dict[str, list[str]]:
    """Return the texts of every baseline by its name, one text for each of `lengths` (in characters).

    `shuffled words`: a passage of `training` with its words in random order. `unigram`: characters drawn independently
    from their frequencies. `6-gram`: samples of `model`. `periodic`: a phrase of `training`, a quarter of the length and
    at most `PERIOD` characters, repeated. A text depends on its own generator and length only.
    """
    unigram = NGramModel(training, order=1)
    pairs = list(zip(lengths, generators, strict=True))
    return {
        "shuffled words": [_shuffled(training, length, generator) for length, generator in pairs],
        "unigram": _sampled(unigram, lengths, generators),
        f"{model.order}-gram": _sampled(model, lengths, generators),
        "periodic": [
            _repeated(_passage(training, min(PERIOD, -(-length // 4)), generator), length)
            for length, generator in pairs
        ],
    }


def _shuffled(training: str, length: int, generator: torch.Generator) -> str:
    """Return a passage with its words in random order and its spaces unchanged."""
    pieces = re.split(r"(\s+)", _passage(training, length, generator))
    words = pieces[::2]
    order = torch.randperm(len(words), generator=generator).tolist()
    pieces[::2] = [words[place] for place in order]
    return "".join(pieces)


def _passage(training: str, length: int, generator: torch.Generator) -> str:
    """Return `length` characters from a random position; a shorter text is repeated."""
    start = int(torch.randint(max(1, len(training) - length + 1), (1,), generator=generator))
    return _repeated(training[start : start + length], length)


def _repeated(text: str, length: int) -> str:
    return (text * (length // max(1, len(text)) + 1))[:length]


def _sampled(model: NGramModel, lengths: Sequence[int], generators: Sequence[torch.Generator]) -> list[str]:
    uniforms = np.zeros((len(lengths), max(lengths), model.order + 1))
    for row, length, generator in zip(uniforms, lengths, generators, strict=True):
        row[:length] = torch.rand(length, model.order + 1, generator=generator, dtype=torch.float64).numpy()
    return model.sample(np.array(lengths), uniforms)
