"""Trained vocabularies are complete, deterministic, correct BPE, and readable by tiktoken."""

import itertools
import sys
from collections import Counter

import pytest
import tiktoken
from tiktoken.load import load_tiktoken_bpe

from jitkit.errors import InputError, ResourceError, UsageError
from jitkit.tokenization.ranks import PATTERN, format_ranks, parse_ranks
from jitkit.tokenization.training import train_pieces

TEXTS = ["the cat sat on the mat, the other cat sat there\n" * 20, "das Haus, die Häuser, des Hauses\n" * 9]


def plain_bpe(words: list[str], num_merges: int) -> list[bytes]:
    """Return the merges of textbook BPE: always the most frequent adjacent pair. Ties are not allowed."""
    counts = Counter(words)
    cut = {word: [bytes([byte]) for byte in word.encode()] for word in counts}
    merges = []
    for _ in range(num_merges):
        pairs = Counter()
        for word, pieces in cut.items():
            for pair in itertools.pairwise(pieces):
                pairs[pair] += counts[word]
        (best, count), *others = pairs.most_common(2)
        assert all(other[1] < count for other in others), "a tie: choose other words"
        merges.append(best[0] + best[1])
        for pieces in cut.values():
            for place in reversed(range(len(pieces) - 1)):
                if (pieces[place], pieces[place + 1]) == best:
                    pieces[place : place + 2] = [best[0] + best[1]]
    return merges


def test_merges_equal_textbook_bpe() -> None:
    words = ["abcd"] * 10 + ["bc"] * 7 + ["abc"] * 5 + ["cde"] * 3
    pieces = train_pieces(words, 256 + 2 + 3)
    assert list(pieces[256:]) == plain_bpe(words, 3) == [b"bc", b"abc", b"abcd"]


def test_a_vocabulary_has_the_requested_size_and_every_byte() -> None:
    for size in (258, 259, 285):
        pieces = train_pieces(iter(TEXTS), size)
        assert len(pieces) == size - 2
        assert pieces == parse_ranks(format_ranks(pieces), "x")


def test_the_same_text_gives_the_same_file() -> None:
    assert train_pieces(TEXTS, 285) == train_pieces(TEXTS, 285)


def test_tiktoken_reads_the_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    path = tmp_path / "x.tiktoken"
    path.write_bytes(format_ranks(train_pieces(TEXTS, 285)))
    ranks = load_tiktoken_bpe(str(path))
    encoding = tiktoken.Encoding("x", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    assert encoding.decode(encoding.encode_ordinary(TEXTS[1])) == TEXTS[1]
    assert len(encoding.encode_ordinary(TEXTS[1])) < len(TEXTS[1]) / 2


def test_long_runs_of_one_character_are_split() -> None:
    assert train_pieces([" " * 2_000_000 + "x"], 260)[256:] == (b"  ", b"    ")


def test_impossible_vocabularies_are_errors() -> None:
    with pytest.raises(UsageError, match="--vocab-size: found 257; expected at least 258"):
        train_pieces(TEXTS, 257)
    with pytest.raises(UsageError, match="--pattern: found '\\('"):
        train_pieces(TEXTS, 300, pattern="(")
    with pytest.raises(InputError, match=r"expected at least 9998\. Provide more text, or at most") as caught:
        train_pieces(TEXTS, 10_000)
    most = int(str(caught.value).split()[-1].rstrip("."))
    assert len(train_pieces(TEXTS, most)) == most - 2


def test_without_rustbpe_the_error_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "rustbpe", None)
    with pytest.raises(ResourceError, match=r"pip install 'jitkit\[train-tok\]'"):
        train_pieces(TEXTS, 300)
