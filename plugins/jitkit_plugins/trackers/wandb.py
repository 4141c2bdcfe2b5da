"""Weights & Biases."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, ClassVar

from jitkit.report.tracked_run import TrackedRun
from jitkit_plugins.trackers.extra import imported
from jitkit_plugins.trackers.logged_run import LoggedRun, config
from jitkit_plugins.trackers.service import RESUMED, ServiceComponent

# Unless the environment sets them: wandb would print the progress display again, and wait for 90 seconds or longer.
SETTINGS = {"console": "off", "init_timeout": 30.0, "finish_timeout": 60.0}


class WandbTracker(ServiceComponent):
    """Log to Weights & Biases, or with `WANDB_MODE=offline` to files for `wandb sync` (needs the `wandb` extra)."""

    name: ClassVar[str] = "wandb"

    def build(self, folder: Path) -> LoggedRun:
        """Start a run of wandb, or continue the one of this folder. Raises ResourceError if wandb is not installed."""
        wandb, run = imported("wandb", self.name), TrackedRun.read(folder)
        known = run.record(self.name)
        os.environ.setdefault("WANDB_LOGIN_TIMEOUT", "30")  # of the question for an API key
        opened = wandb.init(
            id=known or secrets.token_hex(4),
            resume="allow",
            project=self.project_of(run, "WANDB_PROJECT"),
            name=self.name_of(run, "WANDB_NAME"),
            config=config(run),
            allow_val_change=True,
            settings={name: value for name, value in SETTINGS.items() if f"WANDB_{name.upper()}" not in os.environ},
        )
        run.remember(self.name, opened.id)
        tracker = LoggedRun(wandb, opened, run, dict.fromkeys(RESUMED, _last_step(opened, run) if known else -1))
        tracker.catch_up()
        return tracker


def _last_step(opened: Any, run: TrackedRun) -> int:
    """Return the last step that a continued run has. Without the service it is unknown, and that of the log is assumed."""
    if opened.offline:
        return run.last_step
    return int(opened.step) - 1
