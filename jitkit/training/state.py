"""What training changes: weights, their averages, the optimizer's memory, and the place in the run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from jitkit.checkpoints.format import Checkpoint
from jitkit.checkpoints.open import restore_schedule
from jitkit.errors import InputError
from jitkit.manifest.schema import Train
from jitkit.protocols import LearnedSchedule, NoiseSchedule
from jitkit.storage.weights import load_into
from jitkit.training.ema import Averages
from jitkit.training.optim.optimizer import Optimizer, build_optimizer


@dataclass(frozen=True)
class RunMetadata:
    """What training does not change and a checkpoint holds as well, so that it needs nothing else; see `Checkpoint`."""

    manifest: str
    tokenizer: dict[str, bytes]
    validation_tokens: Tensor
    data: dict[str, str]
    threads: int
    execution: dict[str, str]
    versions: dict[str, str]


@dataclass
class State:
    """A run between two steps."""

    network: nn.Module
    optimizer: Optimizer
    averages: Averages
    schedule: LearnedSchedule | None = None  # None: one that does not learn
    step: int = 0  # optimizer steps taken
    loss: float | None = None  # validation loss of these very weights; None where it was not measured
    best_loss: float | None = None  # lowest validation loss so far

    @classmethod
    def new(cls, network: nn.Module, schedule: NoiseSchedule, train: Train) -> State:
        """Return the state before the first step."""
        learned = schedule if isinstance(schedule, LearnedSchedule) else None
        return cls(network, build_optimizer(network, train), Averages(network, train.ema), learned)

    def advance(self, lr: float) -> None:
        """Take an optimizer step with the gradients at hand, and let the averages follow."""
        self.optimizer.step(lr)
        self.step += 1
        self.loss = None
        self.averages.update(self.network, self.step)

    def measured(self, loss: float) -> bool:
        """Remember a validation loss; tell whether it is the lowest so far."""
        self.loss = loss
        lowest = self.best_loss is None or loss < self.best_loss
        if lowest:
            self.best_loss = loss
        return lowest

    def checkpoint(self, epoch: int, facts: RunMetadata, *, with_optimizer: bool = True) -> Checkpoint:
        """Return the state as a checkpoint; tensors are shared, so write it before the next step."""
        return Checkpoint(
            model_state_dict=dict(self.network.state_dict()),
            ema_state_dict=self.averages.state_dict(),
            optimizer_state_dict=self.optimizer.state_dict() if with_optimizer else None,
            epoch=epoch,
            step=self.step,
            loss=self.loss,
            best_loss=self.best_loss,
            rng=_generator_states(),
            schedule_state_dict=self.schedule.state_dict() if self.schedule else {},
            **vars(facts),
        )

    def restore(self, checkpoint: Checkpoint, path: Path) -> None:
        """Become the state in a checkpoint. Raises InputError when it has no optimizer or does not fit."""
        if checkpoint.optimizer_state_dict is None:
            raise InputError(
                "weights without an optimizer",
                "a checkpoint to continue from",
                file=path,
                field="optimizer_state_dict",
                hint="Continue from a checkpoint_epoch_N.pth of the same run; best_model.pth is for use, not for training.",
            )
        load_into(self.network, checkpoint.model_state_dict, file=path)
        self.averages.load_state_dict(checkpoint.ema_state_dict, file=path)
        self.optimizer.load_state_dict(checkpoint.optimizer_state_dict, file=path)
        restore_schedule(self.schedule, checkpoint.schedule_state_dict, path)
        self.step, self.loss, self.best_loss = checkpoint.step, checkpoint.loss, checkpoint.best_loss
        _restore_generators(checkpoint.rng, path)


def _generator_states() -> dict[str, Tensor]:
    """Return the states of torch's global generators; our own randomness follows from the step, a plugin's may not."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _restore_generators(states: dict[str, Tensor], path: Path) -> None:
    try:
        torch.set_rng_state(states["cpu"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state(states["cuda"])
    except (KeyError, RuntimeError, TypeError) as error:
        raise InputError("no state of torch's generator", "one", file=path, field="rng") from error
