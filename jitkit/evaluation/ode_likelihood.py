"""How many bits a model needs, at most, when noise becomes text without chance: along the probability-flow ODE.

A denoiser moves pure noise to images by an ordinary differential equation, and the density of where that ends is known
exactly (Chen et al. 2018, 1806.07366; Song et al. 2021, 2011.13456, section 4.3). Counted in units of the noise that is
left, ``w = z / (sigma s)`` with s = noise_scale, and with ``r = alpha / (sigma s)`` for time, the equation of every path is::

    dw/dr = x_hat(z, t)            w(0) ~ N(0, I)                                          (1)

    log p_r(w(r))  =  log N(w(0); 0, I)  -  integral from 0 to r of div x_hat dr'          (2)

with div the trace of the derivatives of x_hat by w. A density of images is none of texts. Let the model follow (1) up to
R, the place at which the codec alone reads every token (`PathEnd`), and read each token there. For q = N(R x, I), which is
where noising leaves the image x of a text, Jensen's inequality gives (variational dequantisation, Ho et al. 2019)::

    - log p(tokens)  <=  flow + reconstruction                                             (3)

    flow           = E_q [ log q(w(R)) - log p_R(w(R)) ] = E_q [ (|w(0)|^2 - |w(R) - R x|^2) / 2 + integral of div x_hat ]
    reconstruction = E_q [ - log p(tokens | w(R)) ]

*What is bounded* is the text that falls out of the ODE, solved exactly, with a contextless reading at its end: another
model than the one of `jitkit.evaluation.likelihood`, whose reverse process is random. The two agree for the exact posterior
mean, where (3) is the entropy: then p_R is the density of noised images, and its codewords are so far apart at R that the
gap, the doubt ``E [log p(tokens | w(R), context) - log p(tokens | w(R))]``, is below `LEAST_DOUBT` a token. Of any other
denoiser neither is below the other by law.

*What is estimated.* q is drawn once a window; the trace is Hutchinson's estimate, e^T (d x_hat / dw) e with e of random
signs, new at every place (unbiased). *What is approximated*: (1) is solved backwards from R by Heun's method and the
integral by the trapezoid rule, at places that are even in r near noise and in its logarithm beyond, with an error that
falls with the square of the number of steps. So (3) holds up to that error, which half as many steps show.

A pixel that belongs to no token is known to be what it is in every image, as in `jitkit.evaluation.likelihood`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.process import levels_at
from jitkit.evaluation.likelihood import KNEE, PathEnd, reading, time_of
from jitkit.evaluation.noise import draw_noise, window_generators
from jitkit.evaluation.validation import evaluating

Field = Callable[[Tensor, Tensor], Tensor]
"""x_hat [B, 3, H, W] float64 at w [B, 3, H, W] float64 and time t (0-dimensional)."""


class OdeBound(NamedTuple):
    """What each window costs, in bits, [N] float64 each; the two add up to the bound. A flow may be below 0."""

    flow: Tensor
    reconstruction: Tensor


def ode_bound(
    denoiser: Denoiser,
    windows: Tensor,
    *,
    seed: int,
    batch_size: int,
    num_steps: int = 32,
    device: torch.device | str = "cpu",
    advance: Callable[[int], None] | None = None,
) -> OdeBound:
    """Return the bound (3) for `windows` [N, L] int64, see above; noise belongs to a window. `advance` is told images."""
    end = PathEnd.of(denoiser.codec, denoiser.schedule)
    with evaluating(denoiser.network), torch.no_grad():
        parts = [
            _bound(denoiser, rows, end, seed, num_steps, device, advance) for rows in torch.split(windows, batch_size)
        ]
    return OdeBound(*(torch.cat(column) / math.log(2) for column in zip(*parts, strict=True)))


def _bound(
    denoiser: Denoiser,
    tokens: Tensor,
    end: PathEnd,
    seed: int,
    num_steps: int,
    device: torch.device | str,
    advance: Callable[[int], None] | None,
) -> tuple[Tensor, Tensor]:
    """Return flow and reconstruction of a batch, in nats, [B] float64 each, on the CPU."""
    codec, schedule = denoiser.codec, denoiser.schedule
    generators = window_generators(seed, tokens, "ode")
    tokens = tokens.to(device)
    x = codec.encode(tokens).double()
    counted = codec.pixel_mask(torch.ones_like(tokens, dtype=torch.bool))
    noise = draw_noise(generators, codec.image_size, 1.0).to(device).double()
    largest = math.sqrt(end.snr)
    places = _places(largest, num_steps)
    times = time_of(places.square(), schedule).float()

    def x_hat(w: Tensor, t: Tensor) -> Tensor:
        if advance:
            advance(len(w))
        at = t.to(device).expand(len(w))
        z = levels_at(schedule, at).sigma * schedule.noise_scale * w
        return torch.where(counted, denoiser.self_conditioned(z.float(), at).double(), x)

    start, trace = _flow_back(x_hat, largest * x + noise, places, times, generators)
    flow = ((start - noise) * (start + noise)).flatten(1).sum(1) / 2 + trace
    image = (x + noise / largest).float()
    sigma = torch.full((len(tokens),), 1 / largest, device=device)
    return flow.cpu(), reading(codec, tokens, image, sigma).double().cpu()


def _places(largest: float, num_steps: int) -> Tensor:
    """Return r [num_steps + 1] float64 from 0 to `largest`: even below the knee of `KNEE`, and in the logarithm above."""
    knee = min(1.0, math.sqrt(KNEE) * largest)
    return knee * torch.sinh(torch.linspace(0, 1, num_steps + 1, dtype=torch.float64) * math.asinh(largest / knee))


def _flow_back(
    x_hat: Field, w: Tensor, places: Tensor, times: Tensor, generators: Sequence[torch.Generator]
) -> tuple[Tensor, Tensor]:
    """Return w(0) from `w` at the last of the `places`, and the integral [B] of the trace on the way; Heun's method."""
    estimate, slope = _with_trace(x_hat, w, times[-1], generators)
    trace = torch.zeros_like(slope)
    for index in range(len(places) - 1, 0, -1):
        step, earlier = places[index] - places[index - 1], times[index - 1]
        w = w - step / 2 * (estimate + x_hat(w - step * estimate, earlier))
        before = slope
        estimate, slope = _with_trace(x_hat, w, earlier, generators)
        trace += step / 2 * (before + slope)
    return w, trace


def _with_trace(x_hat: Field, w: Tensor, t: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
    """Return x_hat, and Hutchinson's estimate [B] float64 of the trace of its derivatives by w."""
    shape = w.shape[1:]
    signs = torch.stack([torch.randint(2, shape, generator=generator) * 2 - 1 for generator in generators]).to(w)
    with torch.enable_grad():
        place = w.detach().requires_grad_()
        estimate = x_hat(place, t)
        (product,) = torch.autograd.grad((estimate * signs).sum(), place, allow_unused=True, materialize_grads=True)
    return estimate.detach(), (product * signs).flatten(1).sum(1)
