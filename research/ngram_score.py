"""Score samples with a 6-gram language model of the training text.

    python -m research.ngram_score [TEXT [SAMPLES.json ...]]

TEXT is the text that the scored model was trained on (default: the reference texts that ship with Python). Its first 90 %
train the n-gram model. SAMPLES.json is a file of `jitkit generate --json` or `research.competitors`. Without samples, 64 pieces of 64 characters
from the rest of TEXT are scored, which shows what real text scores. Each set of texts yields one line of JSON:

- ngram_bits_per_character: cross-entropy of each text after its first 6 characters, averaged over texts. Repetitive text and
  copied text score low, so compare models only at equal entropy.
- ngram_bits_margin: half of the 95 % interval of that mean (1.96 standard errors).
- entropy, entropy_margin: entropy of the characters within one text, in bits, and its interval.
- words_known: share of words that occur in the training text. The first and last word of a text may be cut and are ignored.
- repeated_12grams: share of 12-character sequences that occurred earlier, in the same text or in another.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pydoc_data.topics import topics
from statistics import fmean, stdev

from jitkit_plugins.metrics.compared_texts import entropy, words_of
from jitkit_plugins.metrics.ngrams import ORDER, NGramModel
from research.command_line import run
from research.sample_files import read_samples, read_text

NUM_PIECES, PIECE_LENGTH = 64, 64  # of real text
REPEAT_LENGTH = 12  # characters


class NgramScorer:
    """The n-gram language model of a training text, and the words of that text."""

    def __init__(self, training_text: str) -> None:
        self.model = NGramModel(training_text)
        self.known_words = frozenset(words_of(training_text))

    def __call__(self, texts: Sequence[str]) -> dict[str, float]:
        """Return the scores of `texts`. Texts of at most `ORDER` characters are ignored."""
        texts = [text for text in texts if len(text) > ORDER]
        bits = [float(self.model.bits(text)[ORDER:].mean()) for text in texts]
        entropies = [entropy(text, math.log2) for text in texts]
        words = [word for text in texts for word in words_of(text)[1:-1]]
        sequences = [text[i : i + REPEAT_LENGTH] for text in texts for i in range(len(text) - REPEAT_LENGTH)]
        return {
            "texts": len(texts),
            "ngram_bits_per_character": round(fmean(bits or [0.0]), 3),
            "ngram_bits_margin": round(margin(bits), 3),
            "entropy": round(fmean(entropies or [0.0]), 3),
            "entropy_margin": round(margin(entropies), 3),
            "words_known": round(sum(word in self.known_words for word in words) / max(1, len(words)), 3),
            "repeated_12grams": round(1 - len(set(sequences)) / max(1, len(sequences)), 3),
        }


def margin(values: Sequence[float]) -> float:
    """Return half of the 95 % interval of the mean of `values`, or 0 if there are fewer than two."""
    return 1.96 * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def split_text(path: str | None) -> tuple[str, str]:
    """Return the first 90 % and the rest of the text at `path`, or of Python's reference texts."""
    text = "\n".join(topics.values()) if path is None else read_text(path)
    end = len(text) * 9 // 10
    return text[:end], text[end:]


def main(arguments: Sequence[str]) -> None:
    """Score the texts of each file."""
    training, rest = split_text(arguments[0] if arguments else None)
    scorer = NgramScorer(training)
    for name in arguments[1:]:
        for setting, texts in read_samples(name).items():
            print(json.dumps({"file": name} | ({"setting": setting} if setting else {}) | scorer(texts)))
    if len(arguments) < 2:
        starts = range(0, len(rest) - PIECE_LENGTH, (len(rest) - PIECE_LENGTH) // NUM_PIECES)[:NUM_PIECES]
        print(json.dumps({"file": "real text"} | scorer([rest[i : i + PIECE_LENGTH] for i in starts])))


if __name__ == "__main__":
    run("ngram_score", main)
