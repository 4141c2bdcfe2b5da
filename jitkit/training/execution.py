"""How a network is run: on which device, in which precision, compiled or not."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from jitkit.errors import ResourceError, Stopped, shown
from jitkit.manifest.schema import Train

MIN_COMPILED_STEPS = 500  # compiling takes a minute or two; shorter runs do not earn it back


def find_device(name: str) -> torch.device:
    """Return the device that `--device` names; "auto" is a GPU where there is one.

    Raises ResourceError for a device that does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ResourceError(
            f"device {shown(name)}", "auto, cpu or a device of this machine", field="--device"
        ) from error
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Tell whether the device multiplies bfloat16 in hardware (AMX or AVX512-BF16 on a CPU)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # torch has no public question for these
    return any(getattr(torch.cpu, name)() for name in names if hasattr(torch.cpu, name))


@dataclass(frozen=True)
class Execution:
    """What the words "auto" in `train.precision` and `train.compile` came out as."""

    device: torch.device
    bf16: bool
    compiled: bool

    @classmethod
    def choose(cls, train: Train, device: torch.device, num_steps: int) -> Execution:
        """Return how a run of `num_steps` is executed on `device`.

        Compilation by itself is chosen on a GPU and for long runs only: elsewhere it costs more than it gives.
        """
        bf16 = train.precision == "bf16" or (train.precision == "auto" and has_fast_bf16(device))
        pays = device.type == "cuda" and num_steps >= MIN_COMPILED_STEPS
        return cls(device, bf16, train.compile == "on" or (train.compile == "auto" and pays))

    def facts(self) -> dict[str, str]:
        """Return the conditions under which equal runs are equal bit for bit, besides threads and versions."""
        kind = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.machine()
        capability = f" {torch.backends.cpu.get_cpu_capability()}" if self.device.type == "cpu" else ""
        return {
            "device": f"{self.device.type} {kind}{capability}",
            "precision": "bf16" if self.bf16 else "fp32",
            "compile": "on" if self.compiled else "off",
        }


class Executed(nn.Module):
    """A network, run as an `Execution` says. It holds the network itself: the weights are the same tensors."""

    def __init__(self, network: nn.Module, execution: Execution) -> None:
        super().__init__()
        self.network = network
        self._execution = execution
        # in a tuple, so that it is not registered as a second module with the same weights
        self._call = (torch.compile(network) if execution.compiled else network,)

    def forward(self, z: Tensor, t: Tensor, **conditions: Tensor | None) -> Tensor:
        """Return the network's output in float32; `conditions` are those of `jitkit.protocols.Backbone`."""
        with torch.autocast(self._execution.device.type, dtype=torch.bfloat16, enabled=self._execution.bf16):
            raw: Tensor = self._call[0](z, t, **conditions)
        return raw.float()


def execute(
    network: nn.Module, execution: Execution, trial: Callable[[nn.Module], None], note: Callable[[str], None]
) -> tuple[Executed, Execution]:
    """Return the network ready to run, and how it is run.

    Compilation is tried out with `trial` (a forward and backward pass, no step) and given up with one note where it does
    not work; torch's global generators are left as they were.
    """
    if execution.compiled:
        compiled = Executed(network, execution)
        try:
            with torch.random.fork_rng():
                trial(compiled)
            return compiled, execution
        except Stopped:  # a second signal, not a failure of the compiler
            raise
        except Exception as error:  # compilers fail in many ways, a missing C++ compiler among them
            reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
            note(f"torch.compile does not work here ({reason[:120]}); training goes on without it")
        finally:
            network.zero_grad(set_to_none=True)
    execution = replace(execution, compiled=False)
    return Executed(network, execution), execution
