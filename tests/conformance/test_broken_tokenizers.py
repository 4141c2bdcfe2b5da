"""What `jitkit plugins check` reports about a tokenizer that breaks its contract."""

from __future__ import annotations

from typing import Any

import pytest

from jitkit.testing import check
from jitkit_plugins.tokenizers.bytes import BytesTokenizer

FAULTS: dict[str, tuple[str, Any, str]] = {
    "eos is pad": ("eos_id", 257, "eos and pad are both 257"),
    "eos is a piece": ("eos_id", 97, "yields eos or pad"),
    "pad is outside the vocabulary": ("pad_id", 10**6, "are outside the vocabulary"),
    "a piece is outside the vocabulary": ("encode", lambda text: [10**6] * len(text), "expected ids from 0 to 257"),
    "text is lost": ("decode", lambda ids: "x", "decodes to 'x'"),
}


class Broken:
    """A tokenizer with one member replaced."""

    def __init__(self, tokenizer: Any, member: str, value: Any) -> None:
        self._tokenizer, self._member, self._value = tokenizer, member, value

    def __getattr__(self, name: str) -> Any:
        return self._value if name == self._member else getattr(self._tokenizer, name)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_tokenizer_fails_with_a_reason(fault: str) -> None:
    member, value, reason = FAULTS[fault]

    class Mine(BytesTokenizer):
        """A tokenizer of a plugin."""

        name = "mine"

        def build(self, *given: Any) -> Any:
            return Broken(super().build(*given), member, value)

    failures = [result.failure for result in check(Mine(), "tokenizer") if result.failure]
    assert any(reason in failure for failure in failures), failures
