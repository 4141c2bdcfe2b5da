"""The built-in backbone."""

import jitkit


@jitkit.hookimpl
def jitkit_backbones() -> list[type]:
    """Offer `jit`."""
    from jitkit_plugins.backbones.jit import JitSettings

    return [JitSettings]
