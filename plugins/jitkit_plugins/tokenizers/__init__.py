"""Built-in tokenizers."""

import jitkit


@jitkit.hookimpl
def jitkit_tokenizers() -> list[type]:
    """Provide `bytes` and `tiktoken`."""
    from jitkit_plugins.tokenizers.bytes import BytesTokenizer
    from jitkit_plugins.tokenizers.tiktoken import TiktokenTokenizer

    return [BytesTokenizer, TiktokenTokenizer]
