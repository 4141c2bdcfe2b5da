"""The built-in metrics."""

import jitkit


@jitkit.hookimpl
def jitkit_metrics() -> list[type]:
    """Offer the built-in metrics."""
    from jitkit_plugins.metrics.codec import CodecRoundTrip
    from jitkit_plugins.metrics.gen_ppl import GenPpl
    from jitkit_plugins.metrics.generation import Generation
    from jitkit_plugins.metrics.grammar import GrammarMetric
    from jitkit_plugins.metrics.infill_recovery import InfillRecovery
    from jitkit_plugins.metrics.likelihood import Likelihood
    from jitkit_plugins.metrics.mauve import Mauve
    from jitkit_plugins.metrics.ode_likelihood import OdeLikelihood
    from jitkit_plugins.metrics.script_errors import ScriptErrors
    from jitkit_plugins.metrics.step_recovery import StepRecovery
    from jitkit_plugins.metrics.text_recovery import TextRecovery
    from jitkit_plugins.metrics.token_recovery import TokenRecovery
    from jitkit_plugins.metrics.validation import Validation

    recovery: list[type[jitkit.Component]] = [TokenRecovery, TextRecovery, ScriptErrors, StepRecovery, InfillRecovery]
    return [CodecRoundTrip, Validation, *recovery, Likelihood, OdeLikelihood, Generation, GrammarMetric, GenPpl, Mauve]
