"""Noise schedules: `flow` and `cosine`."""

from __future__ import annotations

from collections.abc import Sequence

from jitkit.component import Component
from jitkit.hookspecs import hookimpl


@hookimpl
def jitkit_noise_schedules() -> Sequence[type[Component]]:
    """Offer the built-in noise schedules."""
    from jitkit_plugins.schedules.cosine import Cosine
    from jitkit_plugins.schedules.flow import Flow

    return [Flow, Cosine]
