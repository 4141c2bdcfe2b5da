"""Samplers: `euler`, `heun`, `sde`, `ddim` and `dpm`."""

import jitkit


@jitkit.hookimpl
def jitkit_samplers() -> list[type]:
    """Offer the built-in samplers."""
    from jitkit_plugins.samplers.ddim import Ddim
    from jitkit_plugins.samplers.dpm import Dpm
    from jitkit_plugins.samplers.euler import Euler
    from jitkit_plugins.samplers.heun import Heun
    from jitkit_plugins.samplers.sde import Sde

    return [Euler, Heun, Sde, Ddim, Dpm]
