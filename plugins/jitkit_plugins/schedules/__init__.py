"""Noise schedules: `flow`, `cosine`, `rolling`, `fitted`, `adaptive` and `gumbel`."""

import jitkit


@jitkit.hookimpl
def jitkit_noise_schedules() -> list[type]:
    """Offer the built-in noise schedules."""
    from jitkit_plugins.schedules.adaptive import Adaptive
    from jitkit_plugins.schedules.cosine import Cosine
    from jitkit_plugins.schedules.fitted import Fitted
    from jitkit_plugins.schedules.flow import Flow
    from jitkit_plugins.schedules.gumbel import Gumbel
    from jitkit_plugins.schedules.rolling import Rolling

    return [Flow, Cosine, Rolling, Fitted, Adaptive, Gumbel]
