"""Numbers that are too small to matter are zero while a model trains, and only then."""

from __future__ import annotations

import pytest
import torch

from jitkit.execution.denormals import denormals_are_zero

TINY = torch.tensor([1e-40])


def test_they_are_zero_inside_and_themselves_again_outside() -> None:
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot take them for zero")
    assert TINY * 1.0 != 0
    with denormals_are_zero():
        assert TINY * 1.0 == 0
        with denormals_are_zero():
            pass
        assert TINY * 1.0 == 0
    assert TINY * 1.0 != 0
