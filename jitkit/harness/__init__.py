"""lm-evaluation-harness: jitkit models for its tasks (extra: lm-eval).

The harness finds models in a registry that only its own package fills, so jitkit registers its model before it runs:
`jitkit lm-eval` does, and a program calls `register`.
"""

from __future__ import annotations

from jitkit.errors import ResourceError

NAME = "jitkit"  # of the model in the harness


def register() -> None:
    """Register the model `jitkit` with lm-evaluation-harness. Raises ResourceError if that is not installed."""
    try:
        from lm_eval.api.model import LM
        from lm_eval.api.registry import model_registry
    except ImportError as error:
        expected, hint = "an installed one, for lm-evaluation-harness", "pip install 'jitkit[lm-eval]'"
        raise ResourceError("no package lm_eval", expected, hint=hint) from error
    from jitkit.harness.model import HarnessModel

    class JitkitLM(HarnessModel, LM):  # type: ignore[misc]  # the package may be missing when types are checked
        """A jitkit model in the harness."""

    if NAME not in model_registry:
        model_registry.register(NAME)(JitkitLM)
