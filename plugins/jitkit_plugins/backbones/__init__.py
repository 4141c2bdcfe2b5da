"""Networks."""

from __future__ import annotations

from collections.abc import Sequence

import jitkit
from jitkit.component import Component


@jitkit.hookimpl
def jitkit_backbones() -> Sequence[type[Component]]:
    """Offer `jit`."""
    from jitkit_plugins.backbones.jit import JitSettings

    return [JitSettings]
