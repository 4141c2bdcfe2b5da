"""Chunks join to the text, and end at line ends where there are any."""

import itertools

import hypothesis.strategies as st
from hypothesis import given

from jitkit.data.tokenize import text_chunks


@given(st.text("ab\n", max_size=80), st.integers(1, 12))
def test_chunks_join_and_end_at_line_ends(text: str, size: int) -> None:
    found = list(text_chunks(text, size))
    assert "".join(found) == text
    assert all(1 <= len(chunk) <= size for chunk in found)
    for chunk, rest in itertools.pairwise(found):
        assert chunk.endswith("\n") or ("\n" not in chunk and len(chunk) == size), "cut in a line that could have ended"
        assert len(chunk + rest) > size or not rest.endswith("\n"), "cut before the last line end that fits"
