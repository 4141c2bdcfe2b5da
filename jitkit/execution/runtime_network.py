"""A network, run as it was chosen."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call

from jitkit.errors import Stopped
from jitkit.execution.activation_checkpointing import checkpoint_activations
from jitkit.execution.bf16_weights import AutocastTracer, Bf16WeightCache
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.cpu_tuning import keep_freed_memory
from jitkit.execution.determinism import deterministic
from jitkit.storage.cache import cache_folder


class RuntimeNetwork(nn.Module):
    """A network, run as an `ExecutionConfig` says. It holds the network itself: the weights are the same tensors.

    Compiled is what runs in the mode (training or evaluation) that the network is in now; in the other it runs as it is
    written. Batches of training have one shape, others many.
    """

    def __init__(self, network: nn.Module, execution: ExecutionConfig) -> None:
        super().__init__()
        self.network = network
        self.execution = execution
        self._half: Bf16WeightCache | None = None
        self._mode = network.training
        self._compiled = torch.compile(_run, dynamic=False if self._mode else None) if execution.compiled else None
        self.train(network.training)

    def forward(self, z: Tensor, t: Tensor, **conditions: Tensor | None) -> Tensor:
        """Return the network's output, an image in float32; `conditions` are those of `jitkit.protocols.Backbone`."""
        run = self._compiled if self._compiled is not None and self.training == self._mode else _run
        if run is not _run and not self.training and conditions.get("x_prev", z) is None:
            conditions["x_prev"] = torch.zeros_like(z)  # which None means: a walk's first step runs what the others run
        if not self.training:
            return self._run_by(run, z, t, conditions)
        with deterministic(self.execution.device):
            return self._run_by(run, z, t, conditions)

    def _run_by(self, run: Callable[..., Tensor], z: Tensor, t: Tensor, conditions: dict[str, Tensor | None]) -> Tensor:
        if not self.execution.bf16:
            return _image_in_float32(run(self.network, {}, z, t, conditions))
        with torch.autocast(self.execution.device.type, dtype=torch.bfloat16):
            if self._half is None:
                with AutocastTracer(self.network, self.execution.device) as watch:
                    raw = _run(self.network, {}, z, t, conditions)
                self._half = Bf16WeightCache(self.network, watch.names)
            else:
                raw = run(self.network, self._half.current(), z, t, conditions)
        return _image_in_float32(raw)


def _image_in_float32(raw: Tensor) -> Tensor:
    """Return an image in float32; more numbers of a pixel, which no colour has to be read from, as they came."""
    return raw.float() if raw.shape[1] == 3 else raw


def _run(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    z: Tensor,
    t: Tensor,
    conditions: dict[str, Tensor | None],
) -> Tensor:
    """Call `network` with `weights` in place of its own of these names."""
    raw: Tensor = (
        functional_call(network, dict(weights), (z, t), conditions) if weights else network(z, t, **conditions)
    )
    return raw


def prepare_network(
    network: nn.Module, execution: ExecutionConfig, trial: Callable[[nn.Module], None], note: Callable[[str], None]
) -> tuple[RuntimeNetwork, ExecutionConfig]:
    """Return the network ready to run, and how it is run.

    Compilation is tried out with `trial` (the passes of a step, without one) and given up with one note where it does not
    work; torch's global generators are left as they were. What was compiled is kept for later runs. To compute on a CPU, the
    process keeps the memory that it frees from now on.
    """
    if execution.device.type == "cpu":
        keep_freed_memory()
    if execution.recompute:
        checkpoint_activations(network)
    if execution.compiled:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder("compiled")))
        note("compiling the network, which takes a minute or two where it was not done before")
        compiled = RuntimeNetwork(network, execution)
        try:
            on_gpu = [execution.device] if execution.device.type == "cuda" else []
            with torch.random.fork_rng(on_gpu), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores")  # float32 is float32 here
                for _ in range(1 + execution.bf16):  # the first pass in bfloat16 looks on, and is not compiled
                    trial(compiled)
            return compiled, execution
        except Stopped:  # a second signal, not a failure of the compiler
            raise
        except Exception as error:  # compilers fail in many ways, a missing C++ compiler among them
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            note(f"torch.compile does not work here ({reason[:120]}); the network runs without it")
        finally:
            network.zero_grad(set_to_none=True)
    execution = replace(execution, compiled=False)
    return RuntimeNetwork(network, execution), execution
