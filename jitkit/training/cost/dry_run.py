"""What a run would be and what it would take, found out without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from jitkit.assembly import Components, assemble
from jitkit.progress import Progress, silent
from jitkit.recipe import prepared_text
from jitkit.training.cost.estimate import Estimate, choose_execution, estimate
from jitkit.training.plan import Plan


@dataclass(frozen=True)
class DryRun:
    """A run before it is run."""

    plan: Plan
    estimate: Estimate
    fingerprint: str  # of the text and its split

    def as_json(self) -> dict[str, Any]:
        """Return the forecast as plain values."""
        plan = {"num_windows": self.plan.num_windows, "num_epochs": self.plan.num_epochs}
        return {**plan, **self.estimate.as_json()}


def dry_run(
    components: Components,
    progress: Progress = silent,
    *,
    device: torch.device = torch.device("cpu"),
    at_least: int = 0,
) -> DryRun:
    """Return what training `components` on `device` means; the text is prepared, so that a manifest in epochs can be counted in steps.

    A run of fewer than `at_least` steps is executed as one of so many is, for which compiling may pay.
    Nothing is written but the cache of prepared text. Raises what `assemble` and `prepare` raise.
    """
    settings = components.manifest.train
    pipeline = assemble(components, device="meta")
    text = prepared_text(components, pipeline.tokenizer, pipeline.codec.capacity, progress=progress)
    plan = Plan.of(settings, text.train.per_epoch)
    execution = choose_execution(components, pipeline.network, device, max(plan.num_steps, at_least))
    found = estimate(components, pipeline.denoiser, execution, num_steps=plan.num_steps)
    return DryRun(plan, found, text.data.fingerprint)
