"""Conformance tests of noise schedules."""

from __future__ import annotations

import torch
from torch import Tensor

from jitkit.assembly import working_schedule
from jitkit.protocols import AnyNoiseSchedule, LearnedSchedule, NoiseSchedule
from jitkit.testing.conformance import assert_tensor
from jitkit.testing.toys import toy_codec

NUMS = (1, 2, 3, 10, 64, 1000)
CODEC = toy_codec()


def ends(component: AnyNoiseSchedule) -> None:
    """Levels are finite, with the shape and dtype of t. They start at pure noise (0, 1) and end at pure data (1, 0)."""
    schedule = working_schedule(component, CODEC)
    for dtype in (torch.float32, torch.float64):
        at = schedule.levels(torch.tensor([0.0, 1.0], dtype=dtype))
        assert at.alpha.tolist() == [0, 1], f"alpha at t = 0 and 1 is {at.alpha.tolist()}"
        assert at.sigma.tolist() == [1, 0], f"sigma at t = 0 and 1 is {at.sigma.tolist()}"
    for t in (torch.tensor(0.5), torch.linspace(0, 1, 5), torch.linspace(0, 1, 6, dtype=torch.float64).view(2, 3)):
        for name, level in schedule.levels(t)._asdict().items():
            assert_tensor(name, level, t.shape, t.dtype)
            assert level.isfinite().all(), f"{name} is not finite"


def signal_rises(component: AnyNoiseSchedule) -> None:
    """alpha / sigma rises strictly with t: 0 is noise, 1 is data."""
    schedule = working_schedule(component, CODEC)
    at = schedule.levels(torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1])
    assert ((at.alpha / at.sigma).diff() > 0).all(), "alpha / sigma does not rise strictly"


def derivatives(component: AnyNoiseSchedule) -> None:
    """d_alpha and d_sigma equal central finite differences."""
    schedule = working_schedule(component, CODEC)
    step = 1e-5
    t = torch.linspace(step, 1 - step, 201, dtype=torch.float64)
    before, here, after = (schedule.levels(t + shift) for shift in (-step, 0, step))
    for name in ("alpha", "sigma"):
        difference = (getattr(after, name) - getattr(before, name)) / (2 * step)
        worst = (difference - getattr(here, f"d_{name}")).abs().max().item()
        assert worst < 1e-6, f"d_{name} is off by {worst:.1e}"


def draws(component: AnyNoiseSchedule) -> None:
    """Draws are [num] float32 in (0, 1) and follow the generator; torch's global generator stays untouched."""
    schedule = working_schedule(component, CODEC)
    before = torch.get_rng_state()
    for num in NUMS:
        t, again, other = (schedule.draw(num, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert_tensor("draw", t, (num,), torch.float32)
        assert ((t > 0) & (t < 1)).all(), "a draw lies outside (0, 1)"
        assert torch.equal(t, again), "equal generators give different draws"
        assert not torch.equal(t, other), "different generators give equal draws"
    schedule.grid(4)
    assert torch.equal(before, torch.get_rng_state()), "torch's global generator was used"


def grid_rises(component: AnyNoiseSchedule) -> None:
    """The grid is [n + 1] float32 and rises strictly from exactly 0 to exactly 1, for any n."""
    schedule = working_schedule(component, CODEC)
    for num in NUMS:
        t = schedule.grid(num)
        assert_tensor("the grid", t, (num + 1,), torch.float32)
        assert (t[0].item(), t[-1].item()) == (0, 1), f"grid({num}) runs from {t[0]} to {t[-1]}"
        assert (t.diff() > 0).all(), f"grid({num}) does not rise strictly"


def grid_has_quantiles(component: AnyNoiseSchedule) -> None:
    """The grid has the quantiles of the density: equally many draws lie between any two neighbors."""
    schedule = working_schedule(component, CODEC)
    num, steps = 20_000, 16
    t = schedule.draw(num, torch.Generator().manual_seed(0))
    below = torch.searchsorted(t.sort().values, schedule.grid(steps)) / num
    worst = (below - torch.arange(steps + 1) / steps).abs().max().item()
    assert worst < 0.02, f"the share of draws below a grid point is off by {worst:.3f}"  # 5 standard errors: 0.018


def state_round_trip(component: AnyNoiseSchedule) -> None:
    """A schedule that loads the state of another continues bit for bit as that one does. `at_start` never learns."""
    for one, other in _pairs(component):
        start, fresh = one.at_start(), other.at_start()
        _observe(one, early=1.0)
        for initial in (start, one.at_start()):
            assert torch.equal(_times(initial), _times(fresh)), "the initial schedule has changed"
        state = {name: value.clone() for name, value in one.state_dict().items()}
        other.load_state_dict(state)
        for _ in range(2):
            assert torch.equal(_times(one), _times(other)), "the draws differ after loading the state"
            assert torch.equal(one.grid(16), other.grid(16)), "the grid differs after loading the state"
            _observe(one, late=1.0)
            _observe(other, late=1.0)
        assert all(value.device.type == "cpu" for value in state.values()), "a state tensor is not on the CPU"
        assert one.state_dict().keys() == state.keys(), "the names of the state change"


def learned_schedules_conform(component: AnyNoiseSchedule) -> None:
    """Draws, grid and path meet their requirements after learning. More times are drawn where the error is larger."""
    for one, other in _pairs(component):
        _observe(one, early=1.0)
        _observe(other, late=1.0)
        early, late = _times(one).median().item(), _times(other).median().item()
        assert early < late, f"the median time is {early:.3f} after early errors and {late:.3f} after late ones"
        for errors in ({"late": 1.0}, {}, {"early": 1e6, "late": 1e6}):
            _observe(one, **errors)
            for test in (ends, draws, grid_rises, grid_has_quantiles):
                test(one)
                test(other)


def _pairs(component: AnyNoiseSchedule) -> list[tuple[LearnedSchedule, LearnedSchedule]]:
    """Return two new schedules if the component learns, otherwise nothing to test."""
    one, other = (working_schedule(component, CODEC) for _ in range(2))
    if isinstance(one, LearnedSchedule) and isinstance(other, LearnedSchedule):
        assert one is not other, "a learned schedule must be rebuilt for each run"
        return [(one, other)]
    return []


def _observe(schedule: LearnedSchedule, *, early: float = 0.0, late: float = 0.0) -> None:
    """Let the schedule observe these errors before and after its initial median time."""
    middle = schedule.at_start().grid(2)[1]
    t = torch.linspace(0.001, 0.999, 20_000)
    schedule.observe(t, torch.where(t < middle, early, late))


def _times(schedule: NoiseSchedule) -> Tensor:
    return schedule.draw(1000, torch.Generator().manual_seed(0))
