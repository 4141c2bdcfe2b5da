"""Objectives: `flow`, `codeword` and `bitwise`."""

import jitkit


@jitkit.hookimpl
def jitkit_objectives() -> list[type]:
    """Offer the built-in objectives."""
    from jitkit_plugins.objectives.bitwise import Bitwise
    from jitkit_plugins.objectives.codeword import Codeword
    from jitkit_plugins.objectives.flow import Flow

    return [Flow, Codeword, Bitwise]
