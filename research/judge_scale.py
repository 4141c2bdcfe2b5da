"""What a judge says of texts whose model is known exactly: python -m research.judge_scale [TEXT]

A model that needs b bits a character for unseen text: what should the judge ask for its own texts, if its sampler is
faultless? n-gram models, n = 1 to 6, answer: their likelihood is exact and so is their sampler. A diffusion model whose bound
and judge bits lie on this line is held back by what it has learned; one that lies above it, by its sampler.

TEXT as in `judge.py`: the models and the judge learn its first nine tenths, the likelihood is that of the rest.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

from jitkit.evaluation.ngrams import NGrams
from research.judge import LENGTH, ORDER, WORD, CharacterModel, judged

NUM_TEXTS = 128


def main() -> None:
    """Print one line of JSON a model."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else "\n".join(topics.values())
    training, rest = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
    judge, known_words = CharacterModel(training), frozenset(WORD.findall(training))
    for order in range(1, ORDER + 1):
        model = NGrams(training, order)
        uniforms = np.random.default_rng(0).random((NUM_TEXTS, LENGTH, order + 1))
        texts = model.sample(np.full(NUM_TEXTS, LENGTH), uniforms)
        held_out = {"order": order, "held_out_bits_per_character": round(float(model.bits(rest).mean()), 3)}
        print(json.dumps(held_out | judged(judge, known_words, texts)))


if __name__ == "__main__":
    main()
