"""The built-in metrics."""

from __future__ import annotations

from jitkit.component import Component
from jitkit.hookspecs import hookimpl


@hookimpl
def jitkit_metrics() -> list[type[Component]]:
    """Offer the built-in metrics."""
    from jitkit_plugins.metrics.codec import CodecRoundTrip
    from jitkit_plugins.metrics.generation import Generation
    from jitkit_plugins.metrics.likelihood import Likelihood
    from jitkit_plugins.metrics.text_recovery import TextRecovery
    from jitkit_plugins.metrics.token_recovery import TokenRecovery
    from jitkit_plugins.metrics.validation import Validation

    return [CodecRoundTrip, Generation, Likelihood, TextRecovery, TokenRecovery, Validation]
