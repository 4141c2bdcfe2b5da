"""The built-in backbone."""

from __future__ import annotations

from collections.abc import Sequence

import jitkit


@jitkit.hookimpl
def jitkit_backbones() -> Sequence[type[jitkit.Component]]:
    """Offer `jit`."""
    from jitkit_plugins.backbones.jit import JitSettings

    return [JitSettings]
