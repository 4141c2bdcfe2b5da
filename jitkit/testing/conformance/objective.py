"""Conformance tests of objectives, with a codec of one pixel per token on several paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from jitkit.diffusion.process import interpolate, levels_at
from jitkit.protocols import Noised, NoiseSchedule, Objective
from jitkit.testing.conformance import assert_tensor
from jitkit.testing.toys import PATHS, toy_codec

CODEC = toy_codec()
INSIDE = (0.1, 0.3, 0.5, 0.7, 0.9)


def oracle_loss_is_zero(objective: Objective) -> None:
    """The loss is zero at the oracle, at every t, and the estimate is the clean image after t = 0."""
    for path, batch in _batches(0, *INSIDE, 1):
        oracle = objective.oracle(batch, schedule=path, codec=CODEC)
        losses = _loss(objective, oracle, batch, path)
        assert_tensor("the loss", losses, batch.t.shape, torch.float32)
        assert losses.max() <= 1e-6, f"the loss of the oracle is {losses.max():.1e}"
        worst = _error(objective, oracle, batch, path)[1:].max().item()
        assert worst < 1e-4, f"the estimate is off by {worst:.1e}"


def wrong_estimates_cost(objective: Objective) -> None:
    """Where the estimate is wrong, the loss is positive at every t strictly between noise and data."""
    for path, batch in _batches(*INSIDE):
        oracle = objective.oracle(batch, schedule=path, codec=CODEC)
        for raw in (_random(objective, batch), oracle + _random(objective, batch)):
            wrong = _error(objective, raw, batch, path).amax((1, 2, 3)) > 0.01
            assert (_loss(objective, raw, batch, path)[wrong] > 1e-6).all(), "a wrong estimate costs nothing"
        blind = _error(objective, _random(objective, batch), batch, path)[0].amax()
        assert blind > 0.01, "the estimate is right at t = 0.1 for a random output"


def finite_at_the_ends(objective: Objective) -> None:
    """Loss, gradient and estimate are finite at t = 0 and t = 1 for any output."""
    for path, batch in _batches(0, 1e-7, 1 - 1e-7, 1):
        raw = (10 * _random(objective, batch)).requires_grad_()
        losses = _loss(objective, raw, batch, path)
        (gradient,) = torch.autograd.grad(losses.sum(), raw)
        x_hat = objective.estimate(raw, batch.z, batch.t, schedule=path, codec=CODEC)
        for name, values in (("loss", losses), ("gradient", gradient), ("estimate", x_hat)):
            assert values.isfinite().all(), f"the {name} is not finite"


def gradient_where_wrong(objective: Objective) -> None:
    """Every number whose estimate is wrong gets a gradient, even far outside [-1, 1]: nothing is clamped before the loss.

    If the output is not an image, every pixel with a wrong estimate gets one.
    """
    for path, batch in _batches(*INSIDE):
        for size in (0.1, 1, 10):
            raw = (size * _random(objective, batch)).requires_grad_()
            (gradient,) = torch.autograd.grad(_loss(objective, raw, batch, path).sum(), raw)
            wrong = _error(objective, raw.detach(), batch, path) > 1e-4
            if gradient.shape == wrong.shape:
                assert (gradient[wrong] != 0).all(), f"wrong outputs of size {size} have no gradient"
            silent = wrong.any(1) & ~(gradient != 0).any(1)
            assert not silent.any(), f"wrong outputs of size {size} have no gradient in any channel of a pixel"


def images_are_independent(objective: Objective) -> None:
    """The loss and the estimate of an image do not depend on the other images of the batch."""
    for path, batch in _batches(*INSIDE):
        raw = _random(objective, batch)
        first = batch.rows(slice(1))
        alone = _loss(objective, raw[:1], first, path)
        together = _loss(objective, raw, batch, path)[:1]
        assert torch.allclose(alone, together), "the loss of an image depends on its neighbors"
        alone, together = (
            objective.estimate(raw[:n], batch.z[:n], batch.t[:n], schedule=path, codec=CODEC)[:1] for n in (1, None)
        )
        assert torch.allclose(alone, together), "the estimate of an image depends on its neighbors"


def known_pixels_are_free(objective: Objective) -> None:
    """Known pixels carry no loss, and the loss of a fully known image is 0."""
    for path, batch in _batches(*INSIDE):
        half = torch.arange(CODEC.capacity) % 2 == 0
        raw = _random(objective, batch)
        for known_tokens in (half, torch.ones_like(half)):
            known = CODEC.pixel_mask(known_tokens.expand(len(raw), -1)).float()
            given = replace(batch, z=torch.where(known.bool(), batch.x, batch.z), known=known)
            losses = _loss(objective, raw, given, path)
            changed = _loss(objective, raw + 100 * known, given, path)
            assert torch.equal(losses, changed), "the output at known pixels changes the loss"
            if known_tokens.all():
                assert (losses == 0).all(), f"the loss of a fully known image is {losses.max():.1e}"
            else:
                wrong = (_error(objective, raw, given, path) * (1 - known)).amax((1, 2, 3)) > 0.01
                assert (losses[wrong] > 0).all(), "an image with wrong unknown pixels costs nothing"


def settings_are_valid(objective: Objective) -> None:
    """`self_conditioning` and `known` are probabilities, `token_posterior` is a bool, and `check` accepts the test codec."""
    for name in ("self_conditioning", "known"):
        value = getattr(objective, name)
        assert 0 <= value <= 1, f"{name} is {value}"
    assert isinstance(objective.token_posterior, bool), f"token_posterior is {objective.token_posterior}"
    objective.check(CODEC)  # may refuse other codecs with a ManifestError


def _batches(*times: float) -> Iterator[tuple[NoiseSchedule, Noised]]:
    """Yield each path with a batch of one image per time."""
    generator = torch.Generator().manual_seed(0)
    for path in PATHS:
        tokens = torch.randint(CODEC.vocab_size, (len(times), CODEC.capacity), generator=generator)
        x, t = CODEC.encode(tokens), torch.tensor(times)
        noise = torch.randn(x.shape, generator=generator) * path.noise_scale
        yield path, Noised(tokens, x, noise, t, interpolate(x, noise, levels_at(path, t)))


def _random(objective: Objective, batch: Noised) -> Tensor:
    """Return a random network output [B, C, H, W]."""
    shape = (len(batch.x), objective.channels(CODEC), *batch.x.shape[2:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _loss(objective: Objective, raw: Tensor, batch: Noised, path: NoiseSchedule) -> Tensor:
    return objective.loss(raw, batch, schedule=path, codec=CODEC)


def _error(objective: Objective, raw: Tensor, batch: Noised, path: NoiseSchedule) -> Tensor:
    """Return the absolute error [B, 3, H, W] of the estimate."""
    return (objective.estimate(raw, batch.z, batch.t, schedule=path, codec=CODEC) - batch.x).abs()
