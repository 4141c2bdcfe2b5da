"""Reading and writing `.safetensors` files.

The header is parsed and checked here, so that a file is opened and read once. Writing needs no second copy of the tensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

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


NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Writable(Protocol):
    """What bytes can be written to."""

    def write(self, data: Any, /) -> object:
        """Write all of the bytes."""


def parse_safetensors(file: FileContent) -> dict[str, Tensor]:
    """Return the tensors in the content of a `.safetensors` file on the CPU, with bfloat16 converted to float32.

    Other tensors share the memory of `file`. Raises as `parse_exact`.
    """
    tensors = parse_exact(file)
    return {name: value.float() if value.dtype == torch.bfloat16 else value for name, value in tensors.items()}


def parse_exact(file: FileContent, max_header: int = MAX_HEADER) -> dict[str, Tensor]:
    """Return the tensors in the content of a `.safetensors` file on the CPU; they share its memory.

    Raises InputError if it is damaged, and RefusedError if its header has more than `max_header` bytes.
    """
    size, length = len(file.data), int.from_bytes(file.data[:8], "little")
    if size < 8 + length:
        found = f"{size} bytes, truncated or something else"
        raise InputError(found, "a complete .safetensors file", file=file.path)
    if length > max_header:
        raise RefusedError(f"a header of {length} bytes", f"at most {max_header}", file=file.path)
    data = file.data[8 + length :]
    try:
        header = json.loads(bytes(file.data[8 : 8 + length]), object_pairs_hook=_distinct)
        header.pop("__metadata__", None)
        entries = {name: _Entry(entry) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"a damaged header ({_reason(error)})", UNDAMAGED, file=file.path) from error
    _require_filled(entries, len(data), file.path)
    return {name: entry.tensor(data) for name, entry in entries.items()}


def write_safetensors(file: Writable, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of the CPU to `file`. Raises InputError for a dtype that the format does not have."""
    header, end = {}, 0
    by_alignment = sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize)
    for name, tensor in by_alignment:
        if tensor.dtype not in NAMES:
            raise InputError(f"a tensor of {tensor.dtype}", f"one of {', '.join(map(str, NAMES))}", field=name)
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    content = json.dumps(header, ensure_ascii=False).encode()
    content += b" " * (-len(content) % ALIGNMENT)
    file.write(len(content).to_bytes(8, "little") + content)
    for _, tensor in by_alignment:
        file.write(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)


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
        return numbers.view(self.dtype).reshape(self.shape)


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
