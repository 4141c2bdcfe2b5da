"""Weights & Biases."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from jitkit.files import member_path
from jitkit.filesystem import matching
from jitkit.report.tracked_run import TrackedRun
from jitkit_plugins.trackers.extra import imported
from jitkit_plugins.trackers.logged_run import LoggedRun, config
from jitkit_plugins.trackers.service import RESUMED, ServiceComponent

# Unless the environment sets them: wandb would print the progress display again, and wait for 90 seconds or longer.
SETTINGS = {"console": "off", "init_timeout": 30.0, "finish_timeout": 60.0}
SECONDS = 300.0  # to read an offline file


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
        tracker = LoggedRun(wandb, opened, run, _last_steps(opened, Path(opened.settings.wandb_dir)) if known else {})
        tracker.catch_up()
        return tracker


def _last_steps(opened: Any, folder: Path) -> dict[str, int]:
    """Return the last step of each kind of entry that a continued run has: at the service, or in earlier offline files."""
    if not opened.offline:
        return dict.fromkeys(RESUMED, int(opened.step) - 1)
    last = dict.fromkeys(RESUMED, -1)
    for path in matching(folder, f"offline-run-*-{opened.id}"):
        if path.name != Path(opened.settings.sync_dir).name:
            for row in _rows(member_path(path, f"run-{opened.id}.wandb")):
                last |= {kind: int(row["_step"]) for kind in RESUMED if kind in row or f"{kind}.path" in row}
    return last


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """Yield what an offline file has for each step, as wandb prints it."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    done = subprocess.run(
        command,
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        start_new_session=True,  # or Ctrl-C, which lets training end a step, would end the reader and with it the tracker
    )
    records = map(json.loads, done.stdout.splitlines())
    return (record["history"]["item"] for record in records if record["type"] == "history")
