"""The codec `walsh` for jitkit."""

from __future__ import annotations

import jitkit


@jitkit.hookimpl
def jitkit_codecs() -> list[type[jitkit.Component]]:
    """Return the codec."""
    # Imported here, because it imports torch, which `jitkit --help` does not need.
    from jitkit_walsh.codec import WalshCodec

    return [WalshCodec]
