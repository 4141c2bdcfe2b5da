"""The laws of noise schedules."""

from __future__ import annotations

import torch

from jitkit.protocols import NoiseSchedule
from jitkit.testing.law import Law

NUMS = (1, 2, 3, 10, 64, 1000)


def ends(schedule: NoiseSchedule) -> None:
    """The path starts at pure noise (alpha 0, sigma 1) and ends at pure data (alpha 1, sigma 0), exactly."""
    for dtype in (torch.float32, torch.float64):
        at = schedule.levels(torch.tensor([0.0, 1.0], dtype=dtype))
        assert at.alpha.tolist() == [0, 1], f"alpha at t = 0 and 1 is {at.alpha.tolist()}"
        assert at.sigma.tolist() == [1, 0], f"sigma at t = 0 and 1 is {at.sigma.tolist()}"


def shapes(schedule: NoiseSchedule) -> None:
    """Levels have the shape and the type of t, and are finite on all of [0, 1]."""
    for t in (torch.tensor(0.5), torch.linspace(0, 1, 5), torch.linspace(0, 1, 6, dtype=torch.float64).view(2, 3)):
        for name, level in schedule.levels(t)._asdict().items():
            assert level.shape == t.shape, f"{name} of t {tuple(t.shape)} has the shape {tuple(level.shape)}"
            assert level.dtype == t.dtype, f"{name} of t in {t.dtype} is {level.dtype}"
            assert level.isfinite().all(), f"{name} is not finite"


def signal_rises(schedule: NoiseSchedule) -> None:
    """alpha / sigma rises strictly with t: 0 is noise, 1 is data."""
    at = schedule.levels(torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1])
    assert ((at.alpha / at.sigma).diff() > 0).all(), "alpha / sigma falls or stands still somewhere"


def derivatives(schedule: NoiseSchedule) -> None:
    """d_alpha and d_sigma equal central finite differences."""
    step = 1e-5
    t = torch.linspace(step, 1 - step, 201, dtype=torch.float64)
    before, here, after = (schedule.levels(t + shift) for shift in (-step, 0, step))
    for name in ("alpha", "sigma"):
        difference = (getattr(after, name) - getattr(before, name)) / (2 * step)
        worst = (difference - getattr(here, f"d_{name}")).abs().max().item()
        assert worst < 1e-6, f"d_{name} is off by {worst:.1e}"


def draws(schedule: NoiseSchedule) -> None:
    """Draws are [num] float32 in (0, 1) and follow the generator."""
    for num in NUMS:
        t, again, other = (schedule.draw(num, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert t.shape == (num,), f"draw({num}) has the shape {tuple(t.shape)}"
        assert t.dtype == torch.float32, f"draw gives {t.dtype}"
        assert ((t > 0) & (t < 1)).all(), "a draw lies outside (0, 1)"
        assert torch.equal(t, again), "equal generators give different draws"
        assert not torch.equal(t, other), "different generators give equal draws"


def global_generator_untouched(schedule: NoiseSchedule) -> None:
    """Neither draws nor grids touch torch's global generator."""
    before = torch.get_rng_state()
    schedule.draw(4, torch.Generator().manual_seed(0))
    schedule.grid(4)
    assert torch.equal(before, torch.get_rng_state()), "torch's global generator was used"


def grid_rises(schedule: NoiseSchedule) -> None:
    """The grid is [n + 1] float32 and rises strictly from exactly 0 to exactly 1, for any n."""
    for num in NUMS:
        t = schedule.grid(num)
        assert t.shape == (num + 1,), f"grid({num}) has the shape {tuple(t.shape)}"
        assert t.dtype == torch.float32, f"grid gives {t.dtype}"
        assert (t[0].item(), t[-1].item()) == (0, 1), f"grid({num}) runs from {t[0]} to {t[-1]}"
        assert (t.diff() > 0).all(), f"grid({num}) does not rise strictly"


def grid_has_quantiles(schedule: NoiseSchedule) -> None:
    """The grid has the quantiles of the density: between any two neighbours lie equally many draws."""
    num, steps = 20_000, 16
    t = schedule.draw(num, torch.Generator().manual_seed(0))
    below = torch.searchsorted(t.sort().values, schedule.grid(steps)) / num
    worst = (below - torch.arange(steps + 1) / steps).abs().max().item()
    assert worst < 0.02, f"a share of draws below a grid point is off by {worst:.3f}"  # 5 standard errors are 0.018


LAWS: tuple[Law, ...] = (
    ends,
    shapes,
    signal_rises,
    derivatives,
    draws,
    global_generator_untouched,
    grid_rises,
    grid_has_quantiles,
)
