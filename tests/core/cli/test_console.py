"""Tables on narrow terminals."""

from __future__ import annotations

import re

import pytest

from tests.core.cli.conftest import run

NUMBER = re.compile(r"\d[\d.,]*")


@pytest.mark.slow
def test_no_number_is_cut_on_a_narrow_terminal() -> None:
    """If the columns do not fit, the same cells are printed row by row, one line per cell."""
    command = ("codec", "inspect", "bits", "code", "jit-nano", "--vocab-size", 64, "--num-tokens", 200)
    wide, narrow = (run(*command, COLUMNS=str(columns)).stdout for columns in (200, 30))
    assert "…" not in narrow
    assert max(map(len, wide.splitlines())) > 30
    assert sorted(set(NUMBER.findall(wide))) == sorted(set(NUMBER.findall(narrow)))
