"""Samplers: `euler`, `heun`, `sde`, `ddim` and `dpm`."""

from __future__ import annotations

from collections.abc import Sequence

from jitkit.component import Component
from jitkit.hookspecs import hookimpl


@hookimpl
def jitkit_samplers() -> Sequence[type[Component]]:
    """Offer the built-in samplers."""
    from jitkit_plugins.samplers.ddim import Ddim
    from jitkit_plugins.samplers.dpm import Dpm
    from jitkit_plugins.samplers.euler import Euler
    from jitkit_plugins.samplers.heun import Heun
    from jitkit_plugins.samplers.sde import Sde

    return [Euler, Heun, Sde, Ddim, Dpm]
