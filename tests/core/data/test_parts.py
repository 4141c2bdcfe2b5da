"""Parts join to the text, and end at line ends where there are any."""

import itertools

import hypothesis.strategies as st
from hypothesis import given

from jitkit.data.parts import parts


@given(st.text("ab\n", max_size=80), st.integers(1, 12))
def test_parts_join_and_end_at_line_ends(text: str, size: int) -> None:
    found = list(parts(text, size))
    assert "".join(found) == text
    assert all(1 <= len(part) <= size for part in found)
    for part, rest in itertools.pairwise(found):
        assert part.endswith("\n") or ("\n" not in part and len(part) == size), "cut in a line that could have ended"
        assert len(part + rest) > size or not rest.endswith("\n"), "cut before the last line end that fits"
