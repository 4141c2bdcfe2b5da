"""Samplers: `euler`, `heun`, `sde`, `ddim` and `dpm`."""

from __future__ import annotations

from collections.abc import Sequence

import jitkit


@jitkit.hookimpl
def jitkit_samplers() -> Sequence[type[jitkit.Component]]:
    """Offer the built-in samplers."""
    from jitkit_plugins.samplers.ddim import Ddim
    from jitkit_plugins.samplers.dpm import Dpm
    from jitkit_plugins.samplers.euler import Euler
    from jitkit_plugins.samplers.heun import Heun
    from jitkit_plugins.samplers.sde import Sde

    return [Euler, Heun, Sde, Ddim, Dpm]
