"""The noising process: two linear equations, and what follows from them.

::

    z        = alpha  x + sigma  noise                                                   (1)
    velocity = alpha' x + sigma' noise          velocity = dz/dt, alpha' = d alpha/dt     (2)

Their determinant ``W = alpha' sigma - alpha sigma'``, the Wronskian, is positive on any schedule: alpha / sigma rises,
and its derivative is W / sigma^2. It is 1 on the flow path and pi / 2 on the cosine path. So `z` and any one of x,
noise and velocity give the other two::

    given velocity:   x     = (sigma velocity - sigma' z) / W     noise    = (alpha' z - alpha velocity) / W
    given x:          noise = (z - alpha x) / sigma               velocity = (W x + sigma' z) / sigma
    given noise:      x     = (z - sigma noise) / alpha           velocity = (alpha' z - W noise) / alpha

The first line holds at every t. The others divide by what vanishes at t = 1 (sigma) or at t = 0 (alpha), where `z` says
nothing of the other part; there the denominator is kept at `floor`, and the answer stays finite.

Let an estimate be wrong by e_x in x. At fixed z, (1) and (2) make it wrong in noise and velocity as well, by::

    e_x / sigma  =  e_velocity / W  =  - e_noise / alpha                                  (3)

which is all there is to know about prediction spaces and loss spaces.

Everything here is pure arithmetic. Images are [B, 3, H, W]; the `at` of a function is the schedule's `Levels`, either
of one time (0-dimensional, as samplers use it) or of a time an image ([B, 1, 1, 1], see `levels_at`).
"""

from __future__ import annotations

from torch import Tensor

from jitkit.protocols import Levels, NoiseSchedule

FLOOR = 1e-6


def levels_at(schedule: NoiseSchedule, t: Tensor) -> Levels:
    """Return the levels at times `t` [B], each [B, 1, 1, 1], so that they multiply images."""
    return Levels(*(level[:, None, None, None] for level in schedule.levels(t)))


def wronskian(at: Levels) -> Tensor:
    """Return W = alpha' sigma - alpha sigma' > 0."""
    return at.d_alpha * at.sigma - at.alpha * at.d_sigma


def interpolate(x: Tensor, noise: Tensor, at: Levels) -> Tensor:
    """Return the `z` between noise and data, equation (1)."""
    return at.alpha * x + at.sigma * noise


def velocity_from_pair(x: Tensor, noise: Tensor, at: Levels) -> Tensor:
    """Return the velocity of the path that joins `noise` and `x`, equation (2)."""
    return at.d_alpha * x + at.d_sigma * noise


def x_from_velocity(velocity: Tensor, z: Tensor, at: Levels) -> Tensor:
    """Return the clean image that `velocity` at `z` leads to; exact at every t."""
    return (at.sigma * velocity - at.d_sigma * z) / wronskian(at)


def noise_from_velocity(velocity: Tensor, z: Tensor, at: Levels) -> Tensor:
    """Return the noise that `velocity` at `z` comes from; exact at every t."""
    return (at.d_alpha * z - at.alpha * velocity) / wronskian(at)


def noise_from_x(x: Tensor, z: Tensor, at: Levels, floor: float = FLOOR) -> Tensor:
    """Return the noise in `z` when the clean image is `x`; exact where sigma >= `floor`."""
    return (z - at.alpha * x) / at.sigma.clamp(min=floor)


def velocity_from_x(x: Tensor, z: Tensor, at: Levels, floor: float = FLOOR) -> Tensor:
    """Return the velocity at `z` when the clean image is `x`; exact where sigma >= `floor`."""
    return (wronskian(at) * x + at.d_sigma * z) / at.sigma.clamp(min=floor)


def euler_step(x_hat: Tensor, z: Tensor, t: Tensor, t_next: Tensor, schedule: NoiseSchedule) -> Tensor:
    """Return `z` at `t_next` from `z` at `t` along the velocity that `x_hat` stands for; at 1 it is `x_hat`."""
    return x_hat if t_next == 1 else z + (t_next - t) * velocity_from_x(x_hat, z, schedule.levels(t))


def x_from_noise(noise: Tensor, z: Tensor, at: Levels, floor: float = FLOOR) -> Tensor:
    """Return the clean image in `z` when its noise is `noise`; exact where alpha >= `floor`, below it shrunk to 0."""
    return (z - at.sigma * noise) / at.alpha.clamp(min=floor)


def velocity_from_noise(noise: Tensor, z: Tensor, at: Levels, floor: float = FLOOR) -> Tensor:
    """Return the velocity at `z` when its noise is `noise`; exact where alpha >= `floor`."""
    return (at.d_alpha * z - wronskian(at) * noise) / at.alpha.clamp(min=floor)


def fresh_share(earlier: Levels, later: Levels) -> Tensor:
    """Return the share of the noise at the earlier time that is not yet in the noise at the later time, in [0, 1].

    Walking from data to noise adds noise on the way. Of the noise in `z` at the earlier time (nearer to noise), whose
    standard deviation is sigma, the share ``sqrt(1 - (snr_earlier / snr_later)^2)`` came after the later time, with
    ``snr = alpha / sigma``. The later alpha must not be 0.
    """
    ratio = (earlier.alpha * later.sigma) / (later.alpha * earlier.sigma)
    return (1 - ratio.square()).clamp(min=0).sqrt()


def renoise(z: Tensor, fresh_noise: Tensor, *, later: Levels, earlier: Levels) -> Tensor:
    """Return `z` carried from a later time back to an earlier one, distributed as if it had never left it.

    ``z_b = (alpha_b / alpha_t) z_t + sqrt(sigma_b^2 - (alpha_b sigma_t / alpha_t)^2) fresh_noise``. The later alpha
    must not be 0: pure noise has no earlier.
    """
    return earlier.alpha / later.alpha * z + earlier.sigma * fresh_share(earlier, later) * fresh_noise
