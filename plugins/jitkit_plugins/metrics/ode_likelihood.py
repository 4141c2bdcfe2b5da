"""Upper bound on the bits that held-out text costs under the probability-flow ODE.

A denoiser transports pure noise to images along an ordinary differential equation, and the density at its end is known
exactly (Chen et al. 2018, 1806.07366; Song et al. 2021, 2011.13456, section 4.3). In units of the remaining noise,
``w = z / (sigma s)`` with s = noise_scale, and with ``r = alpha / (sigma s)`` as time, the equation of every path is::

    dw/dr = x_hat(z, t)            w(0) ~ N(0, I)                                          (1)

    log p_r(w(r))  =  log N(w(0); 0, I)  -  integral from 0 to r of div x_hat dr'          (2)

where div is the trace of the Jacobian of x_hat with respect to w. This is a density of images, not of texts. The model
follows (1) up to R, where the context-free posterior is certain (`end_snr`), and decodes each token there. For
``q = N(R x, I)``, the distribution of the noised image x of a text, Jensen's inequality gives (variational
dequantization, Ho et al. 2019)::

    - log p(tokens)  <=  flow + reconstruction                                             (3)

    flow           = E_q [ log q(w(R)) - log p_R(w(R)) ] = E_q [ (|w(0)|^2 - |w(R) - R x|^2) / 2 + integral of div x_hat ]
    reconstruction = E_q [ - log p(tokens | w(R)) ]

This is a different model than in `jitkit_plugins.metrics.likelihood`, whose reverse process is stochastic. For the exact
posterior mean both bounds equal the entropy, up to `MAX_END_BITS` per token; for others, either one may be smaller.

*Estimate.* q is sampled once per window. The trace is Hutchinson's unbiased estimate e^T (d x_hat / dw) e, with new
random signs e at every point. Heun's method solves (1) backward from R and the trapezoid rule computes the integral, at
points that are even in r near noise and in its logarithm beyond. The error falls with the square of the number of steps.
Pixels that belong to no token are equal in all images and treated as known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor

from jitkit.component import Component
from jitkit.diffusion.process import levels_at
from jitkit.documents.rows import Measurement
from jitkit.evaluation.context import CannotMeasureError, EvaluationContext, evenly_spaced
from jitkit.evaluation.noise import draw_noise, window_generators
from jitkit.execution.precision import widest_float
from jitkit.protocols import PixelSchedule
from jitkit_plugins.metrics.likelihood import KNEE, context_free_nats, end_snr, rows_of, text_windows, time_of

MIN_WINDOWS, WINDOWS_PER_MEASURED = 2, 16  # a window costs about 400 forward passes, so only one in 16 is measured

Velocity = Callable[[Tensor, Tensor], Tensor]
"""x_hat [B, 3, H, W] float64 at w [B, 3, H, W] float64 and time t (0-dimensional)."""


class OdeLikelihood(Component):
    """Upper bound on the bits that held-out text costs under the probability-flow ODE, at full and half the steps."""

    name: ClassVar[str] = "ode_likelihood"

    steps: Annotated[int, Field(ge=2, description="steps of Heun's method from text to noise")] = 32

    @classmethod
    def tiny(cls, folder: Path) -> Self:
        """Return one with few steps."""
        return cls(steps=4)

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return the figures of `Likelihood` for the `bound`, its terms, and the bound at half the steps.

        They are measured on one in `WINDOWS_PER_MEASURED` windows. The difference between the last row and the first
        shows the error of the solver and the noise of its estimate. Raises InputError for windows without a character.
        """
        if isinstance(context.pipeline.denoiser.schedule, PixelSchedule):
            raise CannotMeasureError(
                "a schedule that gives pixels different times", "one time for all", field="schedule.use"
            )
        windows = text_windows(context, context.windows)
        windows = evenly_spaced(windows, max(MIN_WINDOWS, len(windows) // WINDOWS_PER_MEASURED))
        halves = (self.steps, max(1, self.steps // 2))
        advance = context.counter("ODE likelihood", len(windows) * sum(2 * steps + 1 for steps in halves), shared=True)
        full, half = (ode_bound(context, windows, steps, advance) for steps in halves)
        parts = {
            "bound": full.flow + full.reconstruction,
            **full._asdict(),
            "bound, half the steps": half.flow + half.reconstruction,
        }
        return rows_of(context, windows, parts)


class OdeBound(NamedTuple):
    """The terms of the bound for each window, in bits, [N] float64 each; the bound is their sum. Flow may be negative."""

    flow: Tensor
    reconstruction: Tensor


@torch.no_grad()
def ode_bound(
    context: EvaluationContext, windows: Tensor, num_steps: int, advance: Callable[[int], None] = lambda _: None
) -> OdeBound:
    """Return the bound (3) for `windows` [N, L] int64. `advance` receives the number of images after each pass."""
    end = end_snr(context.pipeline.codec)
    nats = context.over_batches(lambda rows: _bound(context, rows, end, num_steps, advance), windows)
    return OdeBound(*(column / math.log(2) for column in nats))


def _bound(
    context: EvaluationContext, tokens: Tensor, end: float, num_steps: int, advance: Callable[[int], None]
) -> tuple[Tensor, Tensor]:
    """Return the two terms for a batch, in nats, [B] float64 each, on the CPU; the path ends at the snr `end`."""
    denoiser, device = context.pipeline.denoiser.as_trained(), context.pipeline.device
    codec, schedule = denoiser.codec, denoiser.schedule
    generators = window_generators(context.seed, tokens, "ode")
    home = device if widest_float(device) == torch.float64 else torch.device("cpu")  # of all but the network
    x = codec.encode(tokens.to(home)).double()
    mask = codec.pixel_mask(torch.ones_like(tokens.to(home), dtype=torch.bool))
    noise = draw_noise(generators, codec.image_size, 1.0).to(home).double()
    largest = math.sqrt(end)
    points = _points(largest, num_steps)
    times = time_of(points.square(), schedule).float()

    def x_hat(w: Tensor, t: Tensor) -> Tensor:
        advance(len(w))
        at = t.to(home).expand(len(w))
        z = (levels_at(schedule, at).sigma * schedule.noise_scale * w).float()
        found = denoiser.self_conditioned(z.to(device), at.to(device)).to(home)
        return torch.where(mask, found.double(), x)

    start, trace = _solve_backward(x_hat, largest * x + noise, points, times, generators)
    flow = ((start - noise) * (start + noise)).flatten(1).sum(1) / 2 + trace
    image = (x + noise / largest).float()
    sigma = torch.full((len(tokens),), 1 / largest, device=home)
    return flow.cpu(), context_free_nats(codec, tokens.to(home), image, sigma).sum(1).cpu().double()


def _points(largest: float, num_steps: int) -> Tensor:
    """Return r [num_steps + 1] float64 from 0 to `largest`: even below the knee, and even in the logarithm above."""
    knee = min(1.0, math.sqrt(KNEE) * largest)
    return knee * torch.sinh(torch.linspace(0, 1, num_steps + 1, dtype=torch.float64) * math.asinh(largest / knee))


def _solve_backward(
    x_hat: Velocity, w: Tensor, points: Tensor, times: Tensor, generators: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """Return w(0) for `w` at the last of the `points`, and the integral [B] of the trace on the way, by Heun's method."""
    estimate, slope = _with_trace(x_hat, w, times[-1], generators)
    trace = torch.zeros_like(slope)
    for index in range(len(points) - 1, 0, -1):
        step, earlier = points[index] - points[index - 1], times[index - 1]
        w = w - step / 2 * (estimate + x_hat(w - step * estimate, earlier))
        before = slope
        estimate, slope = _with_trace(x_hat, w, earlier, generators)
        trace += step / 2 * (before + slope)
    return w, trace


def _with_trace(x_hat: Velocity, w: Tensor, t: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """Return x_hat and Hutchinson's estimate [B] float64 of the trace of its Jacobian."""
    shape = w.shape[1:]
    signs = torch.stack([torch.randint(2, shape, generator=generator) * 2 - 1 for generator in generators]).to(w)
    with torch.enable_grad():
        point = w.detach().requires_grad_()
        estimate = x_hat(point, t)
        (product,) = torch.autograd.grad((estimate * signs).sum(), point, allow_unused=True, materialize_grads=True)
    return estimate.detach(), (product * signs).flatten(1).sum(1)
