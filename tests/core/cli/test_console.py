"""Tables on narrow terminals, and in pipes that are as narrow."""

from __future__ import annotations

import re

import pytest

from tests.core.cli.conftest import run

NUMBER = re.compile(r"\d[\d.,]*")


@pytest.mark.slow
def test_no_number_is_cut_however_narrow_the_terminal_is() -> None:
    """Where columns do not fit, row follows row, a line a cell, with the same cells."""
    asked = ("codec", "inspect", "bits", "code", "jit-nano", "--vocab-size", 64, "--num-tokens", 200)
    wide, narrow = (run(*asked, COLUMNS=str(columns)).stdout for columns in (200, 30))
    assert "…" not in narrow
    assert max(map(len, wide.splitlines())) > 30
    assert sorted(set(NUMBER.findall(wide))) == sorted(set(NUMBER.findall(narrow)))
