"""Reading the pickle of a `.pth` file as data: tensors and plain values, and nothing that could run code.

torch.save uses only a few pickle instructions. This module executes those and refuses all others, so nothing is ever
imported or called by name. Every instruction adds at most one object of bounded size, and tensors share the memory of
the archive, so a file needs no more memory than its size, plus a bound. `torch.load` has no such bound: even with
`weights_only` a few bytes can allocate gigabytes, and tensors can lie outside of their entry.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pickletools import genops
from typing import Any, TypeVar

import torch
from torch import Tensor

from jitkit.errors import InputError, RefusedError, shown
from jitkit.storage.torch_archive import MAX_ENTRIES, TorchArchive

MAX_INSTRUCTIONS = 2_000_000  # about 40 per tensor
MAX_DIMENSIONS = 64
ALIGNMENT = 8  # bytes, of the largest numbers; torch writes every entry at a multiple of 64
PLAIN = "tensors and plain values only"

STORAGES = {
    f"torch.{kind}Storage": dtype
    for kind, dtype in {
        "Float": torch.float32,
        "Double": torch.float64,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Byte": torch.uint8,
        "Char": torch.int8,
        "Short": torch.int16,
        "Int": torch.int32,
        "Long": torch.int64,
        "Bool": torch.bool,
    }.items()
}
DTYPES = {str(dtype): dtype for dtype in STORAGES.values()}
CONSTRUCTORS = ("collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter")

T = TypeVar("T")


@dataclass(frozen=True)
class _Name:
    """A name that the pickle refers to. It is never looked up."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """The numbers of one or more tensors."""

    memory: torch.UntypedStorage
    dtype: torch.dtype
    length: int


def read_pickle(archive: TorchArchive) -> Any:
    """Return the value that `torch.save` wrote; tensors are on the CPU and share the memory of the archive.

    Raises InputError for a damaged pickle, and RefusedError for one with other instructions or names than torch writes, or
    with tensors outside of their entries.
    """
    path, entries = archive.file.path, archive.entries
    if bytes(entries.get("byteorder", sys.byteorder.encode())) != sys.byteorder.encode():
        raise InputError("another byte order", f"a file of a {sys.byteorder}-endian machine", file=path)
    machine = _Machine(archive)
    try:
        for number, (instruction, argument, _) in enumerate(genops(bytes(entries["data.pkl"]))):
            if number == MAX_INSTRUCTIONS:
                raise RefusedError("a longer pickle", f"at most {MAX_INSTRUCTIONS} instructions", file=path)
            if instruction.name not in INSTRUCTIONS:
                raise RefusedError(f"pickle instruction {instruction.name}", PLAIN, file=path)
            INSTRUCTIONS[instruction.name](machine, argument)
        (value,) = machine.stack
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, RuntimeError) as error:
        raise InputError("content that torch cannot read", PLAIN, file=path) from error
    return value


@dataclass
class _Machine:
    """The state of a pickle while it is read."""

    archive: TorchArchive
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, torch.UntypedStorage] = field(default_factory=dict)
    num_tensors: int = 0

    def refused(self, found: str, expected: str = PLAIN, entry: str | None = None) -> RefusedError:
        """Return the error for something unsafe."""
        return RefusedError(found, expected, file=self.archive.file.path, field=entry)

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark from the stack."""
        start = self.marks.pop()
        values, self.stack[start:] = self.stack[start:], []
        return values

    def take(self, count: int) -> list[Any]:
        """Take `count` values from the stack."""
        values, self.stack[-count:] = self.stack[-count:], []
        if len(values) < count:
            raise IndexError
        return values

    def push_integer(self, value: int) -> None:
        """Push an integer of at most 64 bits."""
        if not -(2**63) <= value < 2**63:
            raise self.refused(f"an integer of {value.bit_length()} bits", "at most 64 bits")
        self.stack.append(value)

    def push_text(self, text: str) -> None:
        """Push a text."""
        text.encode()  # raises for lone surrogates
        self.stack.append(text)

    def push_name(self, argument: str) -> None:
        """Push a dtype, or a name that later instructions may use."""
        module, _, name = argument.partition(" ")
        full = f"{module.replace('__builtin__', 'builtins')}.{name}"
        if full not in STORAGES and full not in DTYPES and full not in CONSTRUCTORS:
            raise self.refused(f"pickle global {shown(full)[1:-1]}")
        self.stack.append(DTYPES.get(full, _Name(full)))

    def append(self, values: list[Any]) -> None:
        """Append values to the list on top of the stack."""
        _of_type(self.stack[-1], list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        """Add keys and values to the dictionary on top of the stack."""
        target, keys = _of_type(self.stack[-1], dict), values[::2]
        if not all(key is None or type(key) in (str, int, float, bool) for key in keys):
            raise TypeError  # hashes of other keys can be made to collide
        target.update(zip(keys, values[1::2], strict=True))

    def push_storage(self) -> None:
        """Replace a reference to an entry by its memory."""
        kind, name, key, _, length = _of_type(self.stack.pop(), tuple)
        if kind != "storage" or type(length) is not int or length < 0:
            raise ValueError
        dtype, entry = STORAGES[name.name], f"data/{_of_type(key, str)}"
        content, needed = self.archive.entries[entry], length * STORAGES[name.name].itemsize
        if needed > len(content):
            raise self.refused(f"{len(content)} bytes", f"{needed}, the size of its tensor", entry=shown(entry)[1:-1])
        if key not in self.storages:
            numbers = torch.frombuffer(content if len(content) else bytearray(1), dtype=torch.uint8)
            is_aligned = numbers.data_ptr() % ALIGNMENT == 0
            self.storages[key] = (numbers if is_aligned else numbers.clone()).untyped_storage()
        self.stack.append(_Storage(self.storages[key], dtype, length))

    def construct(self) -> None:
        """Call one of `CONSTRUCTORS`."""
        function, arguments = self.take(2)
        match _of_type(function, _Name).name:
            case "collections.OrderedDict" if arguments == ():
                self.stack.append({})
            case "torch._utils._rebuild_tensor_v2":
                self.stack.append(self.tensor(*arguments))
            case "torch._utils._rebuild_parameter":
                self.stack.append(_of_type(arguments[0], Tensor))
            case _:
                raise ValueError

    def tensor(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: object
    ) -> Tensor:
        """Return a tensor of a storage."""
        numbers = (offset, *_of_type(shape, tuple)[:MAX_DIMENSIONS], *_of_type(stride, tuple)[:MAX_DIMENSIONS])
        if not all(type(number) is int and number >= 0 for number in numbers) or len(numbers) != 1 + 2 * len(shape):
            raise ValueError
        size = math.prod(shape)
        end = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True)) + 1 if size else 0
        if max(size, end) > storage.length:
            held = storage.length * storage.dtype.itemsize
            raise self.refused(f"a tensor of shape {shown(shape)} in {held} bytes", "storage for all elements")
        self.num_tensors += 1
        if self.num_tensors > MAX_ENTRIES:
            raise self.refused("more tensors", f"at most {MAX_ENTRIES}")
        return torch.empty(0, dtype=storage.dtype).set_(storage.memory, offset, shape, stride)

    def build(self) -> None:
        """Drop the attributes of a dictionary: torch adds versions of modules to a state dict."""
        _of_type(self.stack[-2], dict)
        self.stack.pop()


def _of_type(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError
    return value


def _nothing(machine: _Machine, argument: object) -> None:
    pass


def _push(value: Callable[[Any], object]) -> Callable[[_Machine, Any], None]:
    return lambda machine, argument: machine.stack.append(value(argument))


def _push_tuple(length: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(tuple(machine.take(length)))


def _put(machine: _Machine, number: int) -> None:
    machine.memo[number] = machine.stack[-1]


INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _nothing,
    "STOP": _nothing,
    "NONE": _push(lambda _: None),
    "NEWTRUE": _push(lambda _: True),
    "NEWFALSE": _push(lambda _: False),
    "EMPTY_TUPLE": _push(lambda _: ()),
    "EMPTY_LIST": _push(lambda _: []),
    "EMPTY_DICT": _push(lambda _: {}),
    "BINFLOAT": _push(float),
    "BININT": _Machine.push_integer,
    "BININT1": _Machine.push_integer,
    "BININT2": _Machine.push_integer,
    "LONG1": _Machine.push_integer,
    "BINUNICODE": _Machine.push_text,
    "GLOBAL": _Machine.push_name,
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": _push_tuple(1),
    "TUPLE2": _push_tuple(2),
    "TUPLE3": _push_tuple(3),
    "APPEND": lambda machine, _: machine.append(machine.take(1)),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "LONG_BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "BINPERSID": lambda machine, _: machine.push_storage(),
    "REDUCE": lambda machine, _: machine.construct(),
    "BUILD": lambda machine, _: machine.build(),
}
