"""A network together with the way it runs: precision, compilation, determinism, activation checkpointing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from jitkit.errors import ManifestError, Stopped
from jitkit.execution.bf16_weights import AutocastTracer, Bf16WeightCache
from jitkit.execution.config import ExecutionConfig
from jitkit.execution.cpu_tuning import keep_freed_memory
from jitkit.execution.determinism import deterministic
from jitkit.parallel.sharding import blocks_of, is_sharded
from jitkit.storage.cache import cache_folder


class RuntimeNetwork(nn.Module):
    """Runs a network according to an `ExecutionConfig`. The wrapped network keeps its weights.

    Only the mode (training or evaluation) at construction is compiled; the other mode runs eagerly. Training is compiled for
    one shape of batches, evaluation for many.
    """

    def __init__(self, network: nn.Module, execution: ExecutionConfig) -> None:
        super().__init__()
        self.network = network
        self.execution = execution
        self._bf16_weights: Bf16WeightCache | None = None
        self._mode = network.training
        whole = execution.compiled and not execution.by_block
        self._compiled = torch.compile(_run, dynamic=False if self._mode else None) if whole else None
        self.train(network.training)

    def forward(self, z: Tensor, t: Tensor, **conditions: Tensor | None) -> Tensor:
        """Return the network's output, an image in float32. `conditions` are the inputs of `jitkit.protocols.Backbone`."""
        run = self._compiled if self._compiled is not None and self.training == self._mode else _run
        if run is not _run and not self.training and conditions.get("x_prev", z) is None:
            conditions["x_prev"] = torch.zeros_like(z)  # the same as None, so the first sampling step is compiled, too
        with deterministic(self.execution.device) if self.training else nullcontext():
            raw = (
                self._in_bf16(run, z, t, conditions) if self.execution.bf16 else run(self.network, {}, z, t, conditions)
            )
            return raw.float() if raw.shape[1] == 3 else raw  # a head with more channels keeps its dtype

    def _in_bf16(
        self, run: Callable[..., Tensor], z: Tensor, t: Tensor, conditions: dict[str, Tensor | None]
    ) -> Tensor:
        with torch.autocast(self.execution.device.type, dtype=torch.bfloat16):
            if self._bf16_weights is not None:
                return run(self.network, self._bf16_weights.current(), z, t, conditions)
            if is_sharded(self.network):  # its weights are gathered again in each pass
                return run(self.network, {}, z, t, conditions)
            with AutocastTracer(self.network, self.execution.device) as tracer:
                raw: Tensor = _run(self.network, {}, z, t, conditions)
            self._bf16_weights = Bf16WeightCache(self.network, tracer.names)
            return raw


def _run(
    network: nn.Module, weights: Mapping[str, Tensor], z: Tensor, t: Tensor, conditions: dict[str, Tensor | None]
) -> Any:
    """Call `network`, with `weights` replacing its own of the same names."""
    return functional_call(network, dict(weights), (z, t), conditions) if weights else network(z, t, **conditions)


def prepare_network(
    network: nn.Module,
    execution: ExecutionConfig,
    trial: Callable[[nn.Module], None],
    note: Callable[[str], None],
    *,
    interrupted: Callable[[], bool] = lambda: False,
) -> tuple[RuntimeNetwork, ExecutionConfig]:
    """Return the network ready to run, and how it runs.

    `trial` makes the passes of a step, to test compilation. If that fails, a note is printed and the network runs without it,
    unless the process was `interrupted`: Ctrl-C in a terminal kills the C++ compiler too, and means nothing else. torch's
    global generators keep their state. Compiled code is cached for later runs. On a CPU, the process keeps freed memory
    from now on.
    """
    if execution.device.type == "cpu":
        keep_freed_memory()
    prepare_blocks(network, execution)
    if execution.compiled:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder("compiled")))
        note("compiling the network, which takes a minute or two the first time")
        compiled = RuntimeNetwork(network, execution)
        try:
            on_gpu = [execution.device] if execution.device.type == "cuda" else []
            with torch.random.fork_rng(on_gpu), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores")  # we never use TF32
                for _ in range(1 + execution.bf16):  # the first bfloat16 pass is traced, not compiled
                    trial(compiled)
            return compiled, execution
        except Stopped:  # a second signal
            raise
        except Exception as error:  # compilers fail in many ways; the C++ compiler may be missing
            if interrupted():
                return compiled, execution
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            note(f"torch.compile does not work here ({reason[:120]}); the network runs without it")
        finally:
            network.zero_grad(set_to_none=True)
        execution = execution.uncompiled()
        prepare_blocks(network, execution)
    return RuntimeNetwork(network, execution), execution


def prepare_blocks(network: nn.Module, execution: ExecutionConfig) -> None:
    """Compile and checkpoint the blocks in the network's stacks (`nn.ModuleList`), or do neither.

    Checkpoints go around compiled blocks, so recomputation is compiled, too. Raises ManifestError if a network without a stack
    is to be checkpointed.
    """
    for block in blocks_of(network):
        vars(block).pop("forward", None)
        if execution.compiled and execution.by_block:
            block.forward = torch.compile(block.forward)
    if execution.recompute:
        checkpoint_activations(network)


def checkpoint_activations(network: nn.Module) -> None:
    """Make the blocks in the network's stacks (`nn.ModuleList`) store only their inputs for the backward pass.

    The backward pass recomputes the rest by the same operations, so gradients are equal bit for bit. Module and state-dict
    names stay the same. Raises ManifestError for a network without a stack.
    """
    blocks = blocks_of(network)
    if not blocks:
        raise ManifestError("true", "false: this backbone has no stack of blocks", field="train.recompute")
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
