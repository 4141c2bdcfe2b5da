"""The state of a noise schedule that learns, as it is stored with a model."""

from __future__ import annotations

from pathlib import Path

from jitkit.checkpoints.format import StateDict
from jitkit.errors import InputError
from jitkit.protocols import LearnedSchedule, NoiseSchedule
from jitkit.storage.weights import require_fit


def restore_schedule(schedule: NoiseSchedule | None, state: StateDict, path: Path) -> None:
    """Load the state of a schedule that learns; do nothing for any other.

    Raises InputError if `state`, read from `path`, is empty or does not fit.
    """
    if not isinstance(schedule, LearnedSchedule):
        return
    key = "schedule_state_dict"
    if not state:
        raise InputError(
            "nothing",
            "the learned state of the manifest's schedule",
            file=path,
            field=key,
            hint="Use the weights with the schedule that they were trained with.",
        )
    expected, found = ({f"{key}.{name}": value for name, value in of.items()} for of in (schedule.state_dict(), state))
    require_fit(expected, found, file=path)
    schedule.load_state_dict(state)
