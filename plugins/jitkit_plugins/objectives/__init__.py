"""Objectives: `flow`, `codeword` and `bitwise`."""

from __future__ import annotations

from collections.abc import Sequence

import jitkit


@jitkit.hookimpl
def jitkit_objectives() -> Sequence[type[jitkit.Component]]:
    """Offer the built-in objectives."""
    from jitkit_plugins.objectives.bitwise import Bitwise
    from jitkit_plugins.objectives.codeword import Codeword
    from jitkit_plugins.objectives.flow import Flow

    return [Flow, Codeword, Bitwise]
