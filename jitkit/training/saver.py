"""Writing the checkpoints of a run: as one file, or as a folder by all processes while training goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jitkit import parallel
from jitkit.checkpoints.format import Checkpoint
from jitkit.checkpoints.save_shards import PendingSave, RemoteCopies
from jitkit.errors import DivergedError, ResourceError
from jitkit.filesystem import is_folder
from jitkit.parallel.sharding import holds_whole
from jitkit.training.callbacks import Callbacks
from jitkit.training.reporting import Reporter
from jitkit.training.retention import prune_checkpoints
from jitkit.training.run_folder import RunFolder
from jitkit.training.setup import TrainingSetup
from jitkit.training.state import RunMetadata, State, gathered

LARGE = 4 * 10**9  # bytes of a state that several processes write as a folder, if parallel.checkpoint is "auto"


@dataclass
class Saver:
    """Writes the state of a run. All processes call its methods at the same places, except `poll` and `rescue`."""

    setup: TrainingSetup
    state: State
    metadata: RunMetadata
    folder: RunFolder
    reporter: Reporter
    callbacks: Callbacks
    note: Callable[[str], None]
    saved_step: int | None = None  # of the last checkpoint
    saved_at: float = field(default_factory=time.monotonic)  # its time, or that of the start
    _pending: PendingSave | None = None  # the folder that is being written, or was the last one
    _prunes: bool = False  # whether old checkpoints are deleted when it is complete
    _is_listed: bool = False  # whether this process has finished it

    @property
    def writes_folders(self) -> bool:
        """Whether checkpoints are folders."""
        settings = self.setup.components.manifest.parallel
        kind = "shards" if settings.remote else settings.checkpoint
        if kind != "auto":
            return kind == "shards"
        return parallel.world_size() > 1 and self._checkpoint().num_bytes >= LARGE

    def save(self, *, prune: bool = False, wait: bool = True) -> Path:
        """Write a checkpoint, and with `prune` delete old ones. Return its path; without `wait`, a folder is completed later.

        Raises DivergedError, and writes nothing, if the state is not finite, and ResourceError if this checkpoint or the one
        before it cannot be written.
        """
        self.require_finite()
        self.finish()
        if self.writes_folders:
            return self._save_folder(prune=prune, wait=wait)
        self.write_file()
        parallel.barrier()
        self.saved_step, self.saved_at = self.state.step, time.monotonic()
        if prune:
            self._prune()
        saved = self.folder.newest() or self.folder.path
        self.callbacks.saved(saved)
        return saved

    def _save_folder(self, *, prune: bool, wait: bool) -> Path:
        if self.saved_step == self.state.step and (newest := self.folder.newest()):
            return newest
        self._pending = pending = self.folder.begin_save(self._checkpoint(), self._copies)
        self._prunes, self._is_listed = prune, False
        self.saved_step, self.saved_at = self.state.step, time.monotonic()
        if wait:
            self.finish()
        return pending.folder

    def finish(self) -> None:
        """Wait for the folder that is being written. Raises ResourceError if it cannot be completed."""
        pending, self._pending = self._pending, None
        if pending is not None:
            try:
                pending.finish()
            except ResourceError:
                self._fail(pending)
                raise
            self._list(pending)

    def poll(self) -> None:
        """List a folder that has become complete, or raise ResourceError if this process cannot write its part."""
        if self._pending is None:
            return
        try:
            self._pending.check()
        except ResourceError:
            self._fail(self._pending)
            raise
        if self._pending.is_done and parallel.is_main_process():
            self._list(self._pending)

    def _list(self, pending: PendingSave) -> None:
        """List a complete folder and delete old checkpoints, unless `poll` has done that."""
        if self._is_listed:
            return
        self._is_listed = True
        if parallel.is_main_process():
            self.folder.finish_save(pending, self.note)
            self.reporter.notify("jitkit_checkpoint_saved", path=pending.folder, step=pending.step)
        if self._prunes:
            self._prune()
        self.callbacks.saved(pending.folder)

    def _fail(self, pending: PendingSave) -> None:
        """Forget a save that has failed, unless only its upload has."""
        if is_folder(pending.folder):
            self._list(pending)
        else:
            self.saved_step = None

    def save_best(self) -> None:
        """Write the best model. Without the optimizer it is half as large; weights for use do not need it."""
        self.require_finite()
        self.write_file(is_best=True)

    def write_file(self, *, is_best: bool = False) -> None:
        """Write a checkpoint file in the main process, with the parts of all."""
        checkpoint = gathered(self._checkpoint(with_optimizer=not is_best))
        if not parallel.is_main_process():
            return
        path = self.folder.save_best(checkpoint) if is_best else self.folder.save(checkpoint)
        self.reporter.notify("jitkit_checkpoint_saved", path=path, step=self.state.step)

    def rescue(self) -> None:
        """After an error, write the state as a file if it is not saved. The main process does it alone, if it holds all of it."""
        can_save = parallel.is_main_process() and holds_whole(self.state.network)
        if can_save and self.saved_step != self.state.step and self.state.is_finite_here:
            self.write_file()

    def require_finite(self) -> None:
        """Raise DivergedError if the state is not finite."""
        if math.isfinite(float(self.state.norm())) or (invalid := self.state.invalid()) is None:
            return
        name, value = invalid
        newest = self.folder.newest()
        hint = f"It is not saved. The last checkpoint before it: {newest.name}." if newest else "Nothing was saved."
        field = f"step {self.state.step}: {name}"
        raise DivergedError(str(value), "finite numbers", file=self.folder.path, field=field, hint=hint)

    def _checkpoint(self, *, with_optimizer: bool = True) -> Checkpoint:
        epoch = self.setup.plan.epoch(self.state.step)
        return self.state.checkpoint(epoch, self.metadata, with_optimizer=with_optimizer)

    @property
    def _copies(self) -> RemoteCopies | None:
        url = self.setup.components.manifest.parallel.remote
        return RemoteCopies(url, self.setup.train.keep) if url else None

    def _prune(self) -> None:
        if parallel.is_main_process():
            prune_checkpoints(self.folder, self.setup.train.keep, self.note)
