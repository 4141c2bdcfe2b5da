"""The cross-entropy of tokens, a few images at a time: the logits of 16,384 ids need not all exist at once.

An image of 768 tokens has 50 MB of them, and torch's own cross-entropy keeps as much twice and passes as much through half a
dozen times. Here the gradient is written while the logits are there, ``softmax - one-hot``, in the precision of what the
network said, and nothing else is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from jitkit.diffusion.contextless import contextless_logits
from jitkit.execution.memory import has_values
from jitkit.protocols import Codec, Noised, NoiseSchedule

AT_ONCE = 2**24  # logits: 64 MB in float32


def token_entropy(said: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
    """Return ``-log p(token)`` [B, L] float32, in nats.

    The logits are what z shows without context plus `said` [B, L, >= V], numbers of the network; those beyond V are spare.
    Its gradient can be asked for once, and has none of its own: more raises RuntimeError.
    """
    return _TokenEntropy.apply(said, batch, schedule, codec)  # type: ignore[no-any-return, no-untyped-call]


def token_logits(said: Tensor, z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
    """Return the logits [B, L, V] float32 of what the picture shows and the context says, together."""
    shown = contextless_logits(z, t, schedule=schedule, codec=codec)
    return shown.add_(said[:, :, : codec.vocab_size])  # in place: nothing else is as large


def parts(num: int, codec: Codec) -> Iterator[slice]:
    """Yield slices of `num` images, each of as many as have about `AT_ONCE` logits, at least one."""
    size = max(1, AT_ONCE // (codec.capacity * codec.vocab_size))
    for first in range(0, num, size):
        yield slice(first, min(num, first + size))


def _parts(said: Tensor, codec: Codec) -> Iterator[slice]:
    """Yield `parts`; of a tensor without values, in a step that is simulated, the first says all."""
    return islice(parts(len(said), codec), None if has_values(said) else 1)


class _TokenEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, said: Tensor, batch: Noised, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        losses = torch.empty(batch.tokens.shape, device=said.device)
        gradient = torch.zeros_like(said) if ctx.needs_input_grad[0] else None
        for rows in _parts(said, codec):
            tokens = batch.tokens[rows, :, None]
            logits = token_logits(said[rows], batch.z[rows], batch.t[rows], schedule=schedule, codec=codec)
            logits = logits.log_softmax(2)
            losses[rows] = -logits.gather(2, tokens)[:, :, 0]
            if gradient is not None:
                probabilities = logits.exp_()
                error = probabilities.scatter_(2, tokens, probabilities.gather(2, tokens) - 1)
                gradient[rows, :, : codec.vocab_size] = error
        ctx.codec = codec
        ctx.save_for_backward(*([] if gradient is None else [gradient]))
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        for rows in _parts(gradient, ctx.codec):  # in float32, which is twice as large
            gradient[rows].mul_(g[rows, :, None])
        return gradient, None, None, None
