"""A judge of generated text that needs no large model: python research/judge.py [TEXT [SAMPLES.json ...]]

TEXT is the text that a model was trained on; its first nine tenths train the judge. SAMPLES.json is what
`jitkit generate --json` prints. Without samples the rest of TEXT is judged, in 64 pieces of 64 characters, which is what
real text costs; without TEXT, the reference texts inside Python. One line of JSON comes out a file:

- judge_bits_per_character: of each text after its first 6 characters, under a 6-gram model of characters of the training
  text (interpolated, Witten-Bell smoothing). The mean over texts. Text that repeats itself or the training text is cheap,
  so it means little without the next figures.
- judge_bits_margin: half of that mean's 95 % interval over texts (1.96 standard errors).
- entropy, entropy_margin: of the characters of one text, in bits, likewise. Compare models only where it is equal.
- words_known: share of the words that are in the training text; a text's first and last word, which may be cut, aside.
- repeated_12grams: share of the sequences of 12 characters that occurred before, in the same text or in another.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics
from statistics import stdev

ORDER = 6
PIECES, LENGTH = 64, 64  # of real text
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


class CharacterModel:
    """Probability of a character after those before it, from counts of all sequences of up to `ORDER` characters."""

    def __init__(self, text: str) -> None:
        self.alphabet = len(set(text)) + 1
        self.counts: list[Counter[str]] = []
        self.totals: list[Counter[str]] = []  # by history: how many characters followed it
        self.kinds: list[Counter[str]] = []  # by history: how many different ones
        for length in range(ORDER):
            counts = Counter(text[i : i + length + 1] for i in range(len(text) - length))
            totals, kinds = Counter[str](), Counter[str]()
            for sequence, number in counts.items():
                totals[sequence[:-1]] += number
                kinds[sequence[:-1]] += 1
            self.counts.append(counts)
            self.totals.append(totals)
            self.kinds.append(kinds)

    def probability(self, before: str, character: str) -> float:
        """Return P(character | before): Witten-Bell, from the empty history to the longest one that was seen."""
        p = 1 / self.alphabet
        for length in range(min(ORDER, len(before) + 1)):
            history = before[len(before) - length :]
            total, kinds = self.totals[length][history], self.kinds[length][history]
            if not total:
                break
            p = (self.counts[length][history + character] + kinds * p) / (total + kinds)
        return p

    def bits(self, text: str) -> float:
        """Return the mean bits of the characters after the first `ORDER`."""
        places = range(ORDER, len(text))
        return math.fsum(-math.log2(self.probability(text[i - ORDER + 1 : i], text[i])) for i in places) / len(places)


def entropy(text: str) -> float:
    """Return the entropy of the characters of `text` in bits."""
    shares = [number / len(text) for number in Counter(text).values()]
    return -math.fsum(share * math.log2(share) for share in shares)


def margin(values: Sequence[float]) -> float:
    """Return half of the 95 % interval of the mean of `values`; 0 of fewer than two."""
    return 1.96 * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def judged(model: CharacterModel, known_words: frozenset[str], texts: Sequence[str]) -> dict[str, float]:
    """Return the figures of `texts`; those of up to `ORDER` characters are left out."""
    texts = [text for text in texts if len(text) > ORDER]
    bits, entropies = [[measure(text) for text in texts] for measure in (model.bits, entropy)]
    words = [word for text in texts for word in WORD.findall(text)[1:-1]]
    sequences = [text[i : i + 12] for text in texts for i in range(len(text) - 12)]
    return {
        "texts": len(texts),
        "judge_bits_per_character": round(math.fsum(bits) / max(1, len(texts)), 3),
        "judge_bits_margin": round(margin(bits), 3),
        "entropy": round(math.fsum(entropies) / max(1, len(texts)), 3),
        "entropy_margin": round(margin(entropies), 3),
        "words_known": round(sum(word in known_words for word in words) / max(1, len(words)), 3),
        "repeated_12grams": round(1 - len(set(sequences)) / max(1, len(sequences)), 3),
    }


def main() -> None:
    """Judge the texts of each file."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else "\n".join(topics.values())
    training, rest = text[: len(text) * 9 // 10], text[len(text) * 9 // 10 :]
    model, known_words = CharacterModel(training), frozenset(WORD.findall(training))
    for name in sys.argv[2:]:
        samples = json.loads(Path(name).read_text(encoding="utf-8"))["texts"]
        print(json.dumps({"file": name} | judged(model, known_words, [sample["text"] for sample in samples])))
    if len(sys.argv) < 3:
        starts = range(0, len(rest) - LENGTH, (len(rest) - LENGTH) // PIECES)[:PIECES]
        print(json.dumps({"file": "real text"} | judged(model, known_words, [rest[i : i + LENGTH] for i in starts])))


if __name__ == "__main__":
    main()
