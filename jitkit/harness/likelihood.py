"""Bounds on the log-likelihood of texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from jitkit.api.model import Model
from jitkit.api.score import likelihood_metric
from jitkit.evaluation.context import EvaluationContext
from jitkit.harness.windows import Windows


def log_likelihoods(
    model: Model, texts: Sequence[Windows], *, seed: int = 0, draws: int = 8, batch_size: int = 16
) -> list[float]:
    """Return for each text the mean of `draws` estimates of a lower bound of log p, in nats.

    With the same seed, it is the bound of `Model.score`. It depends neither on the other texts nor on the batch size,
    up to rounding. Raises InputError if tokens are known and the model does not accept them.
    """
    owners = torch.tensor([owner for owner, text in enumerate(texts) for _ in text.tokens], dtype=torch.long)
    tokens, known = (torch.cat([getattr(text, name) for text in texts]) for name in ("tokens", "known"))
    bits = torch.zeros(len(tokens), dtype=torch.float64)
    conditional = known.any(1)
    if conditional.any():
        model.pipeline.require_known()

    def estimate(rows: Tensor, mask: Tensor | None) -> Tensor:
        windows, metric = tokens[rows], likelihood_metric(model.opened.manager)
        size = model.pipeline.images_at_once(batch_size)
        contexts = (
            EvaluationContext(model.pipeline, windows, seed + draw, (), len(windows), batch_size=size)
            for draw in range(draws)
        )
        return torch.stack([metric.window_bits(context, mask) for context in contexts]).mean(0)

    for rows, mask in ((~conditional, None), (conditional, known[conditional])):
        if rows.any():
            bits[rows] = estimate(rows, mask)
    sums = torch.zeros(len(texts), dtype=torch.float64).index_add(0, owners, bits)
    return (-math.log(2) * sums).tolist()
