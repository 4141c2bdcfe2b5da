"""A character n-gram language model: it scores generated texts, and samples a baseline for them.

The conditional probability of a character c after a history h of k characters interpolates all orders (Witten and Bell
1991, method C; Chen and Goodman 1999, equation 13)::

    p_k(c | h) = (count(h c) + types(h) p_(k-1)(c | h')) / (count(h) + types(h))         p_(-1) = 1 / vocabulary

count(h) is the number of characters that follow h in the text, types(h) the number of different ones, and h' is h
without its first character. For a history that is not in the text, p_k = p_(k-1). The vocabulary is the characters of
the text plus one symbol for all others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]


def code_points(text: str) -> Ids:
    """Return the Unicode code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4").astype(np.int64)


def argsort(keys: Ids) -> Ids:
    """Return the positions [N] of `keys` [N] >= 0 in ascending order, stable.

    Each position goes into the low bits of its key, so that a plain sort is enough: numpy vectorizes that one.
    """
    bits = len(keys).bit_length()
    if not len(keys) or int(keys.max()) >> (63 - bits):
        return np.argsort(keys, kind="stable")
    return np.sort((keys << bits) | np.arange(len(keys))) & ((1 << bits) - 1)


def ranked(keys: Ids) -> tuple[Ids, Ids, Ids]:
    """Return the unique values of `keys` [N] >= 0 in ascending order, their counts, and each key's rank [N]."""
    order = argsort(keys)
    ascending = keys[order]
    first = np.append(True, ascending[1:] != ascending[:-1])[: len(keys)]
    starts = np.flatnonzero(first)
    ranks = np.empty_like(keys)
    ranks[order] = first.cumsum() - 1
    return ascending[starts], np.diff(np.append(starts, len(keys))), ranks


ORDER = 6  # characters in the longest n-gram

Floats = npt.NDArray[np.float64]

UNSEEN = -1


@dataclass(frozen=True)
class _Level:
    """The n-grams of one length, sorted, so that those with the same history are neighbors."""

    keys: Ids  # [G] history id x alphabet size + last character, ascending; an n-gram's id is its index
    before: Ids  # [G + 1] occurrences of all n-grams before each
    starts: Ids  # [H + 1] index of the first n-gram of each history

    def find(self, histories: Ids, characters: Ids, num_characters: int) -> Ids:
        """Return the ids of n-grams; `UNSEEN` if the history, the character, or their combination is not in the text."""
        keys = histories * num_characters + characters
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = (self.keys[places] == keys) & (histories >= 0) & (characters >= 0)
        return np.where(found, places, UNSEEN)

    def total(self, histories: Ids) -> Ids:
        """Return the number of characters that follow each of the `histories`."""
        return self.before[self.starts[histories + 1]] - self.before[self.starts[histories]]

    def types(self, histories: Ids) -> Ids:
        """Return the number of different characters that follow each of the `histories`."""
        return self.starts[histories + 1] - self.starts[histories]

    def count(self, ngrams: Ids) -> Ids:
        """Return the number of occurrences of each of the `ngrams`."""
        return self.before[ngrams + 1] - self.before[ngrams]


class NGramModel:
    """The n-grams of `text` (not empty), n = 1 to `order`, as a trie of sorted arrays."""

    def __init__(self, text: str, order: int = ORDER) -> None:
        self.order = min(order, len(text))
        points = code_points(text)
        self.alphabet = np.unique(points)
        characters = self._characters(points)
        self.vocabulary = len(self.alphabet) + 1
        self._levels: list[_Level] = []
        histories, num_histories = np.zeros(len(characters) + 1, np.int64), 1  # the empty history, at every position
        for length in range(1, self.order + 1):
            last = characters[length - 1 :]
            keys, counts, ids = ranked(histories[: len(last)] * len(self.alphabet) + last)
            starts = np.searchsorted(keys // len(self.alphabet), np.arange(num_histories + 1))
            self._levels.append(_Level(keys, np.concatenate([[0], counts.cumsum()]), starts))
            histories, num_histories = ids, len(keys)

    def bits(self, text: str) -> Floats:
        """Return -log2 p [len(text)] of each character given the (at most `order` - 1) characters before it."""
        characters = self._characters(code_points(text))
        num = len(characters)
        probability = np.full(num, 1 / self.vocabulary)
        # ids[i] is the history of `length` characters that starts at i; the next character is at i + length
        ids = np.zeros(num, np.int64)
        for length, level in enumerate(self._levels[:num]):
            histories = ids[: num - length]
            known = histories >= 0
            ids = level.find(histories, characters[length:], len(self.alphabet))
            seen, ngrams = histories[known], ids[known]
            total, types = level.total(seen), level.types(seen)
            count = np.where(ngrams >= 0, level.count(np.maximum(ngrams, 0)), 0)
            lower = probability[length:]  # a view
            followed = total > 0
            places = np.flatnonzero(known)[followed]
            lower[places] = ((count + types * lower[known]) / np.maximum(total + types, 1))[followed]
        bits: Floats = -np.log2(probability)
        return bits

    def sample(self, lengths: Ids, uniforms: Floats) -> list[str]:
        """Return texts of `lengths` [N], sampled character by character.

        `uniforms` [N, max(lengths), order + 1] are random numbers in [0, 1); each text depends on its own row only. A
        character is drawn from the continuations of h with probability count(h) / (count(h) + types(h)), else from
        those of the next shorter history. The symbol for unknown characters is never drawn.
        """
        num, longest = uniforms.shape[:2]
        drawn = np.zeros((num, longest), np.int64)
        for place in range(longest):
            drawn[:, place] = self._next(drawn[:, max(0, place - self.order + 1) : place], uniforms[:, place])
        texts = self.alphabet[drawn]
        return ["".join(map(chr, row[:length])) for row, length in zip(texts.tolist(), lengths.tolist(), strict=True)]

    def _next(self, before: Ids, uniforms: Floats) -> Ids:
        """Return the next characters [N] after `before` [N, k], drawn with `uniforms` [N, order + 1]."""
        drawn = (uniforms[:, -1] * len(self.alphabet)).astype(np.int64)
        for length in range(before.shape[1] + 1):
            histories = np.zeros(len(before), np.int64)
            for level, column in zip(self._levels, before[:, before.shape[1] - length :].T, strict=False):
                histories = level.find(histories, column, len(self.alphabet))
            level, safe = self._levels[length], np.maximum(histories, 0)
            total, types = level.total(safe), level.types(safe)
            # one random number decides whether to stay at this order and which occurrence to take
            occurrence = (uniforms[:, length] * (total + types)).astype(np.int64)
            stay = (histories >= 0) & (occurrence < total)
            ngrams = np.searchsorted(level.before, level.before[level.starts[safe]] + occurrence, side="right") - 1
            ngrams = np.minimum(ngrams, len(level.keys) - 1)
            drawn = np.where(stay, level.keys[ngrams] % len(self.alphabet), drawn)
        return drawn

    def _characters(self, points: Ids) -> Ids:
        """Return the alphabet indices of code points, `UNSEEN` for unknown ones."""
        places = np.minimum(np.searchsorted(self.alphabet, points), len(self.alphabet) - 1)
        return np.where(self.alphabet[places] == points, places, UNSEEN)


ngram_model_of = lru_cache(maxsize=1)(NGramModel)
"""Returns the n-gram model of a text; the last one is cached."""
