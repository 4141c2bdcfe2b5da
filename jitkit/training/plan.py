"""How long a run is, and what happens at which step."""

from __future__ import annotations

from dataclasses import dataclass

from jitkit.manifest.schema import Train


@dataclass(frozen=True)
class Plan:
    """Steps and epochs of a run. An epoch is one pass over the text; batches follow each other without a gap.

    So batch and epoch need not end together: epoch N ends with the step that draws its last window.
    """

    num_windows: int  # of an epoch
    batch_size: int
    num_steps: int
    validate_every: int = 1
    checkpoint_every: int = 1

    @classmethod
    def of(cls, train: Train, num_windows: int) -> Plan:
        """Return the plan of a manifest: `max_steps`, or else `epochs`."""
        num_steps = train.max_steps or -(-(train.epochs or 1) * num_windows // train.batch_size)
        return cls(num_windows, train.batch_size, num_steps, train.validate_every, train.checkpoint_every)

    @property
    def num_epochs(self) -> int:
        """Epochs that the run ends in or with."""
        return self.epoch(self.num_steps)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, rounded, at least 1."""
        return max(1, round(self.num_windows / self.batch_size))

    def epoch(self, step: int) -> int:
        """Return the epoch, from 1, that the last of `step` steps ended, or else lies in; 0 before the first step."""
        if step == 0:
            return 0
        return self._completed(step) + (0 if self.ends_epoch(step) else 1)

    def ends_epoch(self, step: int) -> bool:
        """Tell whether step number `step` (from 1) ends an epoch."""
        return step > 0 and self._completed(step) > self._completed(step - 1)

    def validates_at(self, step: int) -> bool:
        """Tell whether the validation loss is measured after step `step`: every so many epochs, and at the end."""
        return self._is_due(step, self.validate_every)

    def checkpoints_at(self, step: int) -> bool:
        """Tell whether a checkpoint is written after step `step`: every so many epochs, and at the end."""
        return self._is_due(step, self.checkpoint_every)

    def _is_due(self, step: int, every: int) -> bool:
        passed = step > 0 and self._completed(step) // every > self._completed(step - 1) // every
        return passed or step == self.num_steps

    def _completed(self, step: int) -> int:
        return step * self.batch_size // self.num_windows
