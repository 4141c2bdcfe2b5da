"""The peak memory of a block of code, from the tensors that it creates."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

RESIZING = ("c10d", "fsdp")  # around these operations, FSDP frees and allocates memory without an operation of torch


class PeakMemoryMode(TorchDispatchMode):
    """Tracks the bytes of the tensors created inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now: int = 0
        self.peak: int = 0
        self.created: int = 0  # in total, whatever has been freed since
        self._known: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}  # by address: storage, bytes

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self._add(value.untyped_storage())
        if func.namespace in RESIZING:
            self._read_sizes()
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known[key] = (weakref.ref(storage), size)
            self._grow(size)
            weakref.finalize(storage, self._forget, key)

    def _read_sizes(self) -> None:
        """Notice which storages have another size by now."""
        for key, (reference, size) in self._known.items():
            storage = reference()
            if storage is not None and storage.nbytes() != size:
                self._known[key] = (reference, storage.nbytes())
                self._grow(storage.nbytes() - size)

    def _grow(self, size: int) -> None:
        self.now += size
        self.peak = max(self.peak, self.now)
        self.created += max(0, size)

    def _forget(self, key: int) -> None:
        self.now -= self._known.pop(key)[1]
