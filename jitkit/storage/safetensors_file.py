"""Reading `.safetensors` files: the header is parsed and checked here, so that a file is opened and read once."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jitkit.errors import InputError, RefusedError, shown
from jitkit.storage.file_content import FileContent, read_file

MAX_HEADER = 2**20  # bytes; JiT-H/4 has 70 kB
MAX_DIMENSIONS = 64
ALIGNMENT = 8  # bytes, of the largest numbers
WEIGHTS = "weights (.safetensors)"
UNDAMAGED = "an undamaged .safetensors file"
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a `.safetensors` file, see `parse_safetensors`."""
    return parse_safetensors(read_file(path, WEIGHTS))


def parse_safetensors(file: FileContent) -> dict[str, Tensor]:
    """Return the tensors in the content of a `.safetensors` file on the CPU, with bfloat16 converted to float32.

    Other tensors share the memory of `file`. Raises InputError if it is damaged, RefusedError if its header is too long.
    """
    size, length = len(file.data), int.from_bytes(file.data[:8], "little")
    if size < 8 + length:
        found = f"{size} bytes, truncated or something else"
        raise InputError(found, "a complete .safetensors file", file=file.path)
    if length > MAX_HEADER:
        raise RefusedError(f"a header of {length} bytes", f"at most {MAX_HEADER}", file=file.path)
    data = file.data[8 + length :]
    try:
        header = json.loads(bytes(file.data[8 : 8 + length]), object_pairs_hook=_distinct)
        header.pop("__metadata__", None)
        entries = {name: _Entry(entry) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"a damaged header ({_reason(error)})", UNDAMAGED, file=file.path) from error
    _require_filled(entries, len(data), file.path)
    return {name: entry.tensor(data) for name, entry in entries.items()}


class _Entry:
    """The entry of a tensor in the header. Raises ValueError, TypeError, or KeyError unless it is complete and consistent."""

    def __init__(self, entry: Any) -> None:
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"dtype {shown(entry['dtype'])}")
        self.dtype, self.shape = DTYPES[entry["dtype"]], tuple(entry["shape"])
        self.begin, self.end = entry["data_offsets"]
        numbers = (*self.shape, self.begin, self.end)
        if not all(type(number) is int and number >= 0 for number in numbers) or len(self.shape) > MAX_DIMENSIONS:
            raise ValueError(f"the shape {shown(list(self.shape))}")
        if math.prod(self.shape) * self.dtype.itemsize != self.end - self.begin:
            raise ValueError(f"a shape {shown(list(self.shape))} in {self.end - self.begin} bytes")

    def tensor(self, data: memoryview) -> Tensor:
        """Return the tensor."""
        content = data[self.begin : self.end]
        numbers = torch.frombuffer(content, dtype=torch.uint8) if len(content) else torch.empty(0, dtype=torch.uint8)
        numbers = numbers if numbers.data_ptr() % ALIGNMENT == 0 else numbers.clone()
        tensor = numbers.view(self.dtype).reshape(self.shape)
        return tensor.float() if self.dtype == torch.bfloat16 else tensor


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a repeated name")
    return found


def _require_filled(entries: dict[str, _Entry], size: int, path: Path) -> None:
    """Raise InputError unless the tensors fill `size` bytes without gaps or overlaps."""
    places = sorted((entry.begin, entry.end) for entry in entries.values())
    ends = [0, *(end for _, end in places)]
    if [begin for begin, _ in places] != ends[:-1] or ends[-1] != size:
        found = f"{size} bytes of data, which the tensors of the header do not fill exactly"
        raise InputError(found, UNDAMAGED, file=path)


def _reason(error: Exception) -> str:
    return str(error) if type(error) is ValueError else type(error).__name__
