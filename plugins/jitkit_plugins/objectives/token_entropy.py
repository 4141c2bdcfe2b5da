"""The cross-entropy of tokens, a part of them at a time: the logits of 16,384 ids need not all exist at once.

An image of 768 tokens has 50 MB of them, and torch's own cross-entropy keeps as much twice and passes as much through half a
dozen times. Here the gradient is written while the logits are there, ``softmax - one-hot``, in the precision of what the
network said, and nothing else is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from jitkit.diffusion.context_free import context_free_logits
from jitkit.execution.memory import has_values
from jitkit.protocols import Codec, Noised, NoiseSchedule

AT_ONCE = 2**22  # logits: 16 MB in float32
IN_CACHE = 2**20  # on a CPU, where they pass through half a dozen operations: 4 MB, which stay near a core


class Part(NamedTuple):
    """Some images, and the places of their tokens in turn: all together, or a few at a time of a single image."""

    rows: slice
    places: list[slice]


def parts(num: int, codec: Codec, device: torch.device) -> Iterator[Part]:
    """Yield `num` images in parts, whose logits at one time are about `AT_ONCE`, or `IN_CACHE`."""
    logits = IN_CACHE if device.type == "cpu" else AT_ONCE
    images = max(1, logits // (codec.capacity * codec.vocab_size))
    tokens = min(codec.capacity, max(1, logits // codec.vocab_size))
    places = [slice(first, first + tokens) for first in range(0, codec.capacity, tokens)]
    for first in range(0, num, images):
        yield Part(slice(first, first + images), places)


def token_entropy(said: Tensor, batch: Noised, *, schedule: NoiseSchedule, codec: Codec) -> Tensor:
    """Return ``-log p(token)`` [B, L] float32, in nats.

    The logits are what z shows without context plus `said` [B, L, >= V], numbers of the network; those beyond V are spare.
    Its gradient can be asked for once, and has none of its own: more raises RuntimeError.
    """
    return _TokenEntropy.apply(said, batch, schedule, codec)  # type: ignore[no-any-return, no-untyped-call]


def token_logits(said: Tensor, z: Tensor, t: Tensor, *, schedule: NoiseSchedule, codec: Codec, places: slice) -> Tensor:
    """Return the logits at `places` [B, l, V] float32 of what the picture shows and the context says, together."""
    shown = context_free_logits(z, t, schedule=schedule, codec=codec, places=places)
    return shown.add_(said[:, places, : codec.vocab_size])  # in place: nothing else is as large


class _TokenEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, said: Tensor, batch: Noised, schedule: NoiseSchedule, codec: Codec) -> Tensor:
        losses = torch.empty(batch.tokens.shape, device=said.device)
        gradient = torch.empty_like(said) if ctx.needs_input_grad[0] else None
        if gradient is not None:
            gradient[:, :, codec.vocab_size :] = 0
        for rows, some in _places(said, codec):
            tokens = batch.tokens[rows, some, None]
            z, t = batch.z[rows], batch.t[rows]
            logits = token_logits(said[rows], z, t, schedule=schedule, codec=codec, places=some).log_softmax(2)
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
        for rows, some in _places(gradient, ctx.codec):  # in float32, which is twice as large
            gradient[rows, some].mul_(g[rows, some, None])
        return gradient, None, None, None


def _places(said: Tensor, codec: Codec) -> Iterator[tuple[slice, slice]]:
    """Yield images and places, one after the other; of a tensor without values, in a simulated step, the first say all."""
    every = ((rows, some) for rows, places in parts(len(said), codec, said.device) for some in places)
    return islice(every, None if has_values(said) else 1)
