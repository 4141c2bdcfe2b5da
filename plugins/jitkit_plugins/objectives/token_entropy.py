"""Token cross-entropy in chunks, so that the logits of 16,384 ids never exist all at once.

An image of 768 tokens has 50 MB of logits; torch's cross-entropy keeps two tensors of this size. Here the gradient,
``softmax - one-hot``, is written while a chunk's logits exist, in the precision of the network's output. Nothing else is
kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from jitkit.diffusion.context_free import context_free_logits
from jitkit.execution.memory_usage import has_values
from jitkit.protocols import Codec, Noised, NoiseSchedule

GPU_CHUNK = 2**22  # logits: 16 MB in float32
CPU_CHUNK = 2**20  # 4 MB, which stay in a core's cache


class Chunk(NamedTuple):
    """Some images and slices of their positions: all positions at once, or a few at a time for a single image."""

    rows: slice
    positions: list[slice]


def chunks(num: int, codec: Codec, device: torch.device) -> Iterator[Chunk]:
    """Yield `num` images in chunks of about `GPU_CHUNK` or `CPU_CHUNK` logits at a time."""
    logits = CPU_CHUNK if device.type == "cpu" else GPU_CHUNK
    images = max(1, logits // (codec.capacity * codec.vocab_size))
    tokens = min(codec.capacity, max(1, logits // codec.vocab_size))
    positions = [slice(first, first + tokens) for first in range(0, codec.capacity, tokens)]
    for first in range(0, num, images):
        yield Chunk(slice(first, first + images), positions)


def token_entropy(prior: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
    """Return ``-log p(token)`` [B, L] float32, in nats.

    The logits are the context-free log-likelihoods plus `prior` [B, L, >= V], the network's output; values beyond V are
    unused. Differentiable once: a second backward pass raises RuntimeError.
    """
    return _TokenEntropy.apply(prior, batch, schedule, codec)  # type: ignore[no-any-return, no-untyped-call]


def token_logits(
    prior: Tensor,
    z: Tensor,
    t: Tensor,
    *,
    schedule: NoiseSchedule,
    codec: Codec,
    positions: slice,
    evidence: float = 1.0,
) -> Tensor:
    """Return the posterior logits at `positions` [B, l, V] float32: `evidence` times the log-likelihood, plus `prior`, the
    context's part.
    """
    likelihood = context_free_logits(z, t, schedule=schedule, codec=codec, positions=positions)
    if evidence != 1:
        likelihood.mul_(evidence)
    return likelihood.add_(prior[:, positions, : codec.vocab_size])  # in place: this is the largest tensor


class _TokenEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, prior: Tensor, batch: Noised, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        losses = torch.empty(batch.tokens.shape, device=prior.device)
        gradient = torch.empty_like(prior) if ctx.needs_input_grad[0] else None
        if gradient is not None:
            gradient[:, :, codec.vocab_size :] = 0
        for rows, some in _slices(prior, codec):
            tokens = batch.tokens[rows, some, None]
            z, t = batch.z[rows], batch.t[rows]
            logits = token_logits(prior[rows], z, t, schedule=schedule, codec=codec, positions=some).log_softmax(2)
            losses[rows, some] = -logits.gather(2, tokens)[:, :, 0]
            if gradient is not None:
                probabilities = logits.exp_()
                error = probabilities.scatter_(2, tokens, probabilities.gather(2, tokens) - 1)
                gradient[rows, some, : codec.vocab_size] = error
        ctx.codec = codec
        ctx.save_for_backward(*([] if gradient is None else [gradient]))
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        for rows, some in _slices(gradient, ctx.codec):  # in chunks, because the product is float32
            gradient[rows, some].mul_(g[rows, some, None])
        return gradient, None, None, None


def _slices(prior: Tensor, codec: Codec) -> Iterator[tuple[slice, slice]]:
    """Yield slices of images and of positions; only the first in a simulated step, whose tensors have no values."""
    every = ((rows, some) for rows, positions in chunks(len(prior), codec, prior.device) for some in positions)
    return islice(every, None if has_values(prior) else 1)
