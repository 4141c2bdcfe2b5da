"""Built-in tokenizers."""

from __future__ import annotations

from collections.abc import Sequence

import jitkit


@jitkit.hookimpl
def jitkit_tokenizers() -> Sequence[type[jitkit.Component]]:
    """Provide `bytes` and `tiktoken`."""
    from jitkit_plugins.tokenizers.bytes import BytesTokenizer
    from jitkit_plugins.tokenizers.tiktoken import TiktokenTokenizer

    return [BytesTokenizer, TiktokenTokenizer]
