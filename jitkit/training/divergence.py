"""What a run reports about a step whose loss or gradient is not finite."""

from __future__ import annotations

import json
import math
from pathlib import Path

from jitkit import parallel
from jitkit.errors import DivergedError
from jitkit.storage.atomic import write_file
from jitkit.training.step import StepOutcome


def report_divergence(folder: Path, step: int, outcome: StepOutcome, saved: Path) -> DivergedError:
    """Write `diverged_step_{N}.json` and return the error of step `step` (from 1), which was not taken.

    The file holds the value that is not finite, and where the windows of the batch start in the training text. `saved` is
    the checkpoint of the weights before the step.
    """
    field, found = ("grad_norm", outcome.grad_norm) if math.isfinite(outcome.loss) else ("loss", outcome.loss)
    path, starts = folder / f"diverged_step_{step}.json", outcome.result.starts
    if parallel.is_main_process():
        document = {"step": step, field: str(found), "starts": starts}
        write_file(path, (json.dumps(document, indent=2) + "\n").encode())
    windows = ""
    if starts:
        some = ", ".join(map(str, starts[:8])) + (", ..." if len(starts) > 8 else "")
        windows = f"Its windows start at tokens {some} of the training text (all in {path.name}). "
    return DivergedError(
        str(found),
        "a finite number",
        file=folder,
        field=f"step {step}: {field}",
        hint=f"The step was not taken. {windows}The weights before it: {saved.name}.",
    )
