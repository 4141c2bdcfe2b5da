"""What `jitkit plugins check` reports about a codec that breaks its contract."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from torch import Tensor

from jitkit.testing import check
from jitkit_plugins.codecs.bits import Bits

CALLS = count()


class Broken:
    """A codec with one function replaced."""

    def __init__(self, codec: Any, function: str, change: Callable[[Tensor], Tensor]) -> None:
        self._codec, self._function, self._change = codec, function, change

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._codec, name)
        return (lambda *given: self._change(found(*given))) if name == self._function else found


FAULTS: dict[str, tuple[str, Callable[[Tensor], Tensor], str]] = {
    "shape": ("encode", lambda image: image[:, :, :-1], "the image"),
    "dtype": ("encode", lambda image: image.double(), "the image"),
    "NaN": ("encode", lambda image: image * float("nan"), "the minimum is nan"),
    "out of range": ("encode", lambda image: image * 3, "the minimum is -3"),
    "not invertible": ("decode", lambda tokens: tokens * 0, "tokens changed"),
    "id out of range": ("decode_bytes", lambda tokens: tokens + 10**6, "id 10"),
    "not deterministic": ("encode", lambda image: image * 0.999 ** next(CALLS), "two builds encode differently"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_codec_fails_with_a_reason(fault: str) -> None:
    function, change, reason = FAULTS[fault]

    class Mine(Bits):
        """A codec of a plugin."""

        name = "mine"

        def build(self, *given: Any) -> Any:
            return Broken(super().build(*given), function, change)

    failures = [result.failure for result in check(Mine(), "codec") if result.failure]
    assert any(reason in failure for failure in failures), failures
