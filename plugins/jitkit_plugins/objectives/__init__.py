"""Objectives: `flow`, `codeword` and `bitwise`."""

from __future__ import annotations

from collections.abc import Sequence

from jitkit.component import Component
from jitkit.hookspecs import hookimpl


@hookimpl
def jitkit_objectives() -> Sequence[type[Component]]:
    """Offer the built-in objectives."""
    from jitkit_plugins.objectives.bitwise import Bitwise
    from jitkit_plugins.objectives.codeword import Codeword
    from jitkit_plugins.objectives.flow import Flow

    return [Flow, Codeword, Bitwise]
