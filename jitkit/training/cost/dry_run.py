"""The size and cost of a run, determined without training: `jitkit train --dry-run`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from jitkit.assembly import Components
from jitkit.progress import Progress, silent
from jitkit.training.cost.estimate import Estimate, estimate
from jitkit.training.plan import Plan
from jitkit.training.setup import build_setup


@dataclass(frozen=True)
class DryRun:
    """A run before its first step."""

    plan: Plan
    estimate: Estimate
    fingerprint: str  # of the text and its split

    def as_json(self) -> dict[str, Any]:
        """Return the dry run as plain values."""
        plan = {"num_windows": self.plan.num_windows, "num_epochs": self.plan.num_epochs}
        return {**plan, **self.estimate.as_json()}


def dry_run(
    components: Components, progress: Progress = silent, *, device: torch.device = torch.device("cpu")
) -> DryRun:
    """Return what training on `device` takes. The text is prepared, because the number of steps may depend on it.

    Raises what `build_setup` raises.
    """
    setup = build_setup(components, device, progress=progress)
    found = estimate(components, setup.pipeline.denoiser, setup.execution, num_steps=setup.plan.num_steps)
    return DryRun(setup.plan, found, setup.text.data.fingerprint)
