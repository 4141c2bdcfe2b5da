"""Relate likelihood to n-gram score, using models whose likelihood is known exactly.

    python -m research.ngram_scale [TEXT]

If a model needs b bits per character for held-out text and its sampler is exact, what do its samples score? N-gram models of
order 1 to 6 answer this: both their likelihood and their sampler are exact. A diffusion model on this line is limited by
what it has learned. A model above the line loses quality in its sampler.

TEXT is split as in `research.ngram_score`. Each order yields one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from jitkit_plugins.metrics.ngrams import ORDER, NGramModel
from research.command_line import run
from research.ngram_score import PIECE_LENGTH, NgramScorer, split_text

NUM_TEXTS = 128


def main(arguments: Sequence[str]) -> None:
    """Print one line per order."""
    training, rest = split_text(arguments[0] if arguments else None)
    scorer = NgramScorer(training)
    for order in range(1, ORDER + 1):
        model = NGramModel(training, order)
        uniforms = np.random.default_rng(0).random((NUM_TEXTS, PIECE_LENGTH, order + 1))
        texts = model.sample(np.full(NUM_TEXTS, PIECE_LENGTH), uniforms)
        held_out = {"order": order, "held_out_bits_per_character": round(float(model.bits(rest).mean()), 3)}
        print(json.dumps(held_out | scorer(texts)))


if __name__ == "__main__":
    run("ngram_scale", main)
