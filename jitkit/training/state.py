"""What a checkpoint holds: the state that training changes, and the metadata of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from jitkit import parallel
from jitkit.assembly import Components, assemble
from jitkit.checkpoints.format import Checkpoint
from jitkit.checkpoints.open import require_schedule_fit, restore_schedule
from jitkit.errors import InputError
from jitkit.manifest.schema import Manifest, Train
from jitkit.manifest.writer import manifest_to_toml
from jitkit.parallel.sharding import gather, local, sharded_like
from jitkit.protocols import LearnedSchedule, NoiseSchedule
from jitkit.storage.weights import require_fit
from jitkit.training.ema import Averages
from jitkit.training.optim.optimizer import Optimizer, build_optimizer
from jitkit.training.setup import TrainingSetup


@dataclass(frozen=True)
class RunMetadata:
    """The fields of `Checkpoint` that stay the same during a run."""

    manifest: str
    tokenizer: dict[str, bytes]
    validation_tokens: Tensor
    data: dict[str, str]
    threads: int
    execution: dict[str, str]
    versions: dict[str, str]


def run_metadata(setup: TrainingSetup, versions: Mapping[str, str], origins: Mapping[str, str | None]) -> RunMetadata:
    """Return the metadata of a run. `origins` that are not None are recorded with its data: initial weights, teacher, minutes."""
    data = {"fingerprint": setup.text.data.fingerprint, "origin": setup.components.manifest.data.described}
    num_processes = parallel.world_size()
    return RunMetadata(
        manifest=manifest_to_toml(_counted(setup.components.manifest, setup.pipeline.num_parameters)),
        tokenizer=setup.pipeline.files(),
        validation_tokens=setup.validation_tokens(),
        data=data | {name: origin for name, origin in origins.items() if origin is not None},
        threads=torch.get_num_threads(),
        execution=setup.execution.conditions() | ({"processes": str(num_processes)} if num_processes > 1 else {}),
        versions=dict(versions),
    )


def _counted(manifest: Manifest, num_parameters: int) -> Manifest:
    """Return a manifest whose number of parameters, if it states one, is that of the network that is trained."""
    given = manifest.num_parameters is not None
    return manifest.model_copy(update={"num_parameters": num_parameters}) if given else manifest


@dataclass
class State:
    """The state of a run between two steps."""

    network: nn.Module
    optimizer: Optimizer
    averages: Averages
    schedule: LearnedSchedule | None = None  # None if the schedule does not learn
    step: int = 0  # optimizer steps taken
    loss: float | None = None  # validation loss of these weights, if computed
    best_loss: float | None = None  # lowest validation loss so far
    is_stepping: bool = False  # whether a step is changing it

    @classmethod
    def new(
        cls, network: nn.Module, train: Train, schedule: NoiseSchedule | None = None, *, bf16: bool = False
    ) -> State:
        """Return the state before the first step. `bf16` is the precision of the run."""
        learned = schedule if isinstance(schedule, LearnedSchedule) else None
        return cls(network, build_optimizer(network, train, bf16=bf16), Averages(network, train.ema), learned)

    @property
    def is_whole(self) -> bool:
        """Whether the state can be saved: an interrupt in the middle of a change would leave parts of two states."""
        return not self.is_stepping and self.averages.is_whole

    def advance(self, lr: float) -> None:
        """Take an optimizer step with the current gradients and update the averages."""
        self.is_stepping = True
        self.optimizer.step(lr)
        self.step += 1
        self.loss = None
        self.averages.update(self.network, self.step)
        self.is_stepping = False

    def record_validation(self, loss: float) -> bool:
        """Store a validation loss; return whether it is the lowest so far."""
        self.loss = loss
        is_best = self.best_loss is None or loss < self.best_loss
        if is_best:
            self.best_loss = loss
        return is_best

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name in a checkpoint and the value of every tensor that training changes, except integers."""
        averages = {f"ema_state_dict.{decay}": state for decay, state in self.averages.state_dict().items()}
        moments = {f"optimizer_state_dict.{name}": state for name, state in self.optimizer.state_dict().items()}
        learned = self.schedule.state_dict() if self.schedule else {}
        tables = {"model_state_dict": self.network.state_dict(), **averages, **moments, "schedule_state_dict": learned}
        for table, state in tables.items():
            yield from ((f"{table}.{name}", value) for name, value in state.items() if value.is_floating_point())

    def norm(self) -> Tensor:
        """Return the sum of the norms of all tensors on the device of the network, which is finite only if they are.

        It takes one pass over the state, without synchronizing a GPU, and may overflow for large finite values. All
        processes get the same sum.
        """
        device = next(self.network.parameters()).device
        values = [local(value) for _, value in self.tensors() if value.ndim and value.device == device]
        total = torch.stack([norm.float() for norm in torch._foreach_norm(values)]).sum()
        parallel.all_reduce_sum([total])
        return total

    def invalid(self) -> tuple[str, float] | None:
        """Return the name of a tensor that is not finite, and such a value; None if there is none.

        All processes of a group have to call this, and get the same name.
        """
        tensors = list(self.tensors())
        own = self._first_invalid(tensors)
        index = -parallel.all_reduce_max(-own)
        if index == len(tensors):
            return None
        name, value = tensors[index][0], torch.zeros((), dtype=torch.float64)
        if index == own:
            part = local(tensors[index][1])
            value = part[~torch.isfinite(part)].flatten()[0].cpu().double()
        parallel.all_reduce_sum([value])
        return name, float(value)

    @property
    def is_finite_here(self) -> bool:
        """Whether the part of the state that this process holds is finite."""
        tensors = list(self.tensors())
        return self._first_invalid(tensors) == len(tensors)

    def _first_invalid(self, tensors: Sequence[tuple[str, Tensor]]) -> int:
        """Return the index of the first tensor whose part here is not finite, or the number of tensors."""
        found = (index for index, (_, value) in enumerate(tensors) if not torch.isfinite(local(value)).all())
        return next(found, len(tensors))

    def checkpoint(self, epoch: int, metadata: RunMetadata, *, with_optimizer: bool = True) -> Checkpoint:
        """Return the state as a checkpoint. Tensors are shared, so write it before the next step.

        In a group of processes they may be sharded; see `gathered`.
        """
        generators = {"cpu": torch.get_rng_state()}  # only plugins use them; our own randomness follows from the step
        if torch.cuda.is_available():
            generators["cuda"] = torch.cuda.get_rng_state()
        return Checkpoint(
            model_state_dict=dict(self.network.state_dict()),
            ema_state_dict=self.averages.state_dict(),
            optimizer_state_dict=self.optimizer.state_dict() if with_optimizer else None,
            epoch=epoch,
            step=self.step,
            loss=self.loss,
            best_loss=self.best_loss,
            rng=generators,
            schedule_state_dict=self.schedule.state_dict() if self.schedule else {},
            **vars(metadata),
        )

    def require_fit(self, checkpoint: Checkpoint, path: Path) -> None:
        """Raise InputError if a checkpoint has no optimizer, does not fit, or has a value that is not valid."""
        optimizer = checkpoint.optimizer_state_dict
        if optimizer is None:
            found, hint = "weights without an optimizer", "best_model.pth has weights only."
            field, hint = "optimizer_state_dict", f"Continue from a checkpoint_epoch_N.pth; {hint}"
            raise InputError(found, "a full checkpoint", file=path, field=field, hint=hint)
        require_fit(self.network.state_dict(), checkpoint.model_state_dict, file=path)
        self.averages.require_fit(checkpoint.ema_state_dict, file=path)
        self.optimizer.require_fit(optimizer, path)
        require_schedule_fit(self.schedule, checkpoint.schedule_state_dict, path)
        for device, state in checkpoint.rng.items() if "cpu" in checkpoint.rng else [("cpu", None)]:
            _require_generator_state(device, state, path)

    def restore(self, checkpoint: Checkpoint, path: Path) -> None:
        """Load the state of a checkpoint. Raises InputError, with nothing changed, if it does not fit."""
        self.require_fit(checkpoint, path)
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                value.copy_(sharded_like(checkpoint.model_state_dict[name], value))
        self.averages.load_state_dict(checkpoint.ema_state_dict)
        self.optimizer.load_state_dict(checkpoint.optimizer_state_dict or {})
        restore_schedule(self.schedule, checkpoint.schedule_state_dict, path)
        self.step, self.loss, self.best_loss = checkpoint.step, checkpoint.loss, checkpoint.best_loss
        torch.set_rng_state(checkpoint.rng["cpu"])
        if "cuda" in checkpoint.rng and torch.cuda.is_available():
            torch.cuda.set_rng_state(checkpoint.rng["cuda"])


def gathered(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint with whole tensors. All processes have to call this; those of others than the main one are empty."""
    optimizer = checkpoint.optimizer_state_dict
    return replace(
        checkpoint,
        model_state_dict=_gathered(checkpoint.model_state_dict),
        ema_state_dict={decay: _gathered(state) for decay, state in checkpoint.ema_state_dict.items()},
        optimizer_state_dict=None if optimizer is None else {name: _gathered(of) for name, of in optimizer.items()},
    )


def _gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: gather(value) for name, value in tensors.items()}


def require_restorable(checkpoint: Checkpoint, components: Components, path: Path) -> None:
    """Raise a JitkitError if a run of `components` could not continue from a checkpoint. Builds the network without memory."""
    pipeline = assemble(components, device="meta")
    State.new(pipeline.network, components.manifest.train, pipeline.denoiser.schedule).require_fit(checkpoint, path)


def _require_generator_state(device: str, state: Tensor | None, path: Path) -> None:
    """Raise InputError if this is not the state of a generator of torch; that of another device cannot be checked here."""
    try:
        if device == "cpu":
            torch.Generator().set_state(state)  # type: ignore[arg-type]
        elif torch.cuda.is_available():
            torch.Generator("cuda").set_state(state)  # type: ignore[arg-type]
    except (RuntimeError, TypeError) as error:
        raise InputError("no state of torch's generator", "one", file=path, field=f"rng.{device}") from error
