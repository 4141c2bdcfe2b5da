"""The noising process: two linear equations and their consequences.

::

    z        = alpha  x + sigma  noise                                                   (1)
    velocity = alpha' x + sigma' noise          velocity = dz/dt, alpha' = d alpha/dt     (2)

Their determinant ``W = alpha' sigma - alpha sigma'``, the Wronskian, is positive on any schedule: alpha / sigma rises,
and its derivative is W / sigma^2. It is 1 on the flow path and pi / 2 on the cosine path. So `z` and any one of x,
noise and velocity give the other two::

    given velocity:   x     = (sigma velocity - sigma' z) / W     noise    = (alpha' z - alpha velocity) / W
    given x:          noise = (z - alpha x) / sigma               velocity = (W x + sigma' z) / sigma
    given noise:      x     = (z - sigma noise) / alpha           velocity = (alpha' z - W noise) / alpha

The first line holds at every t. The others divide by sigma, which vanishes at t = 1, or by alpha, which vanishes at t = 0.
There the denominator is clamped to `floor`, and the result stays finite.

An error e_x of an estimate in x causes, at fixed z, errors in noise and velocity::

    e_x / sigma  =  e_velocity / W  =  - e_noise / alpha                                  (3)

which fully relates prediction spaces and loss spaces.

Images are [B, 3, H, W]. The argument `at` is the schedule's `Levels` from `levels_at`. They broadcast against images.
"""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.protocols import Levels, NoiseSchedule, PixelSchedule

FLOOR = 1e-6


def times_at(schedule: NoiseSchedule, t: Tensor, device: torch.device | None = None) -> Tensor:
    """Return the times at which all images (`t` 0-dimensional) or each image (`t` [B]) is, in a form for `levels_at`.

    It is `t`, or, of a `PixelSchedule`, the times of the pixels [B or 1, 1, H, W] on `device`, if given.
    """
    if not isinstance(schedule, PixelSchedule):
        return t  # a 0-dimensional one stays on the CPU, and so does not wait for a GPU
    t = t if device is None else t.to(device)
    return schedule.pixel_times(t if t.ndim == 0 else t[:, None, None, None])


def levels_at(schedule: NoiseSchedule, t: Tensor, device: torch.device | None = None) -> Levels:
    """Return the levels at times `t`, which broadcast against images.

    `t` is one time for all images (0-dimensional), for each image [B], or for each pixel [B or 1, 1, H, W]. With a
    `PixelSchedule`, one for all pixels stands for their times on a sampling trajectory, see `times_at`.
    """
    t = t if t.ndim == 4 else times_at(schedule, t, device)
    return schedule.levels(t[:, None, None, None] if t.ndim == 1 else t)


def wronskian(at: Levels) -> Tensor:
    """Return W = alpha' sigma - alpha sigma' > 0."""
    return at.d_alpha * at.sigma - at.alpha * at.d_sigma


def interpolate(x: Tensor, noise: Tensor, at: Levels) -> Tensor:
    """Return `z` from image and noise, equation (1)."""
    return at.alpha * x + at.sigma * noise


def velocity_from_pair(x: Tensor, noise: Tensor, at: Levels) -> Tensor:
    """Return the velocity of the path from `noise` to `x`, equation (2)."""
    return at.d_alpha * x + at.d_sigma * noise


def x_from_velocity(velocity: Tensor, z: Tensor, at: Levels) -> Tensor:
    """Return the clean image from the velocity at `z`; exact at every t."""
    return (at.sigma * velocity - at.d_sigma * z) / wronskian(at)


def noise_from_x(x: Tensor, z: Tensor, at: Levels, floor: float = FLOOR) -> Tensor:
    """Return the noise in `z` when the clean image is `x`; exact where sigma >= `floor`."""
    return (z - at.alpha * x) / at.sigma.clamp(min=floor)


def velocity_from_x(x: Tensor, z: Tensor, at: Levels, floor: float = FLOOR) -> Tensor:
    """Return the velocity at `z` when the clean image is `x`; exact where sigma >= `floor`."""
    return (wronskian(at) * x + at.d_sigma * z) / at.sigma.clamp(min=floor)


def euler_step(x_hat: Tensor, z: Tensor, t: Tensor, t_next: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Return `z` at `t_next` from `z` at `t` along the velocity that follows from `x_hat`; `x_hat` itself at 1."""
    if t_next == 1:
        return x_hat
    here, there = (times_at(schedule, time, z.device) for time in (t, t_next))
    return z + (there - here) * velocity_from_x(x_hat, z, levels_at(schedule, here))


def x_from_noise(noise: Tensor, z: Tensor, at: Levels, floor: float = FLOOR) -> Tensor:
    """Return the clean image in `z` when its noise is `noise`; exact where alpha >= `floor`, shrunk towards 0 below."""
    return (z - at.sigma * noise) / at.alpha.clamp(min=floor)


def fresh_share(earlier: Levels, later: Levels) -> Tensor:
    """Return the share, in [0, 1], of the noise at the earlier time that is independent of the noise at the later time.

    Of the noise in `z` at the earlier time (nearer to noise), whose standard deviation is sigma, the share
    ``sqrt(1 - (snr_earlier / snr_later)^2)`` is new, with ``snr = alpha / sigma``. The later alpha must not be 0.
    """
    ratio = (earlier.alpha * later.sigma) / (later.alpha * earlier.sigma)
    return (1 - ratio.square()).clamp(min=0).sqrt()


def renoise(z: Tensor, fresh_noise: Tensor, *, later: Levels, earlier: Levels) -> Tensor:
    """Return `z` moved from a later time back to an earlier one, with the distribution of that earlier time.

    ``z_b = (alpha_b / alpha_t) z_t + sqrt(sigma_b^2 - (alpha_b sigma_t / alpha_t)^2) fresh_noise``. The later alpha
    must not be 0.
    """
    return earlier.alpha / later.alpha * z + earlier.sigma * fresh_share(earlier, later) * fresh_noise
