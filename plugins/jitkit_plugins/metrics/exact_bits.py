"""The true probability of held-out stories, which the data source `grammar` knows."""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.errors import shown
from jitkit.evaluation.context import CannotMeasureError, EvaluationContext
from jitkit_plugins.grammar.parser import bits_of, derivations
from jitkit_plugins.grammar.stories import SOURCE, Stories
from jitkit_plugins.metrics.compared_texts import sample_of


def stories_of(context: EvaluationContext) -> Stories:
    """Return the source of a model of stories. Raises CannotMeasureError for other models, and those of packed stories."""
    manifest, expected = context.pipeline.manifest, f"a model trained on data.use = {SOURCE!r}"
    if manifest.data.use != SOURCE:
        raise CannotMeasureError(f"a model trained on {shown(manifest.data.use)}", expected, field="data.use")
    if manifest.train.pack:
        problem = "a model whose images hold the end of one story and the beginning of the next"
        raise CannotMeasureError(problem, "one trained with train.pack = false", field="train.pack")
    source = context.source() if context.source else None
    if not isinstance(source, Stories):
        raise CannotMeasureError("text that is not drawn from a grammar", f"text of the source {SOURCE!r}")
    return source


def exact_bits(context: EvaluationContext, windows: Tensor) -> Tensor | None:
    """Return -log2 of the true probability of each of the `windows` [N, L], [N] float64; None if it is not known.

    It is known if every window is a whole story.
    """
    try:
        grammar = stories_of(context).grammar
    except CannotMeasureError:
        return None
    texts = [sample_of(context.pipeline.tokenizer, window).text for window in windows]
    found = [derivations(grammar, text) for text in texts]
    return torch.tensor([bits_of(each) for each in found], dtype=torch.float64) if all(found) else None
