"""A `.pth` file is read as torch reads it, within bounds of memory and time, and nothing else is read."""

from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from jitkit.errors import InputError, RefusedError
from jitkit.storage.torch_archive import open_archive
from jitkit.storage.torch_pickle import DTYPES, read_pickle


def read(path: Path) -> Any:
    return read_pickle(open_archive(path))


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and one.shape == other.shape and one.stride() == other.stride()
        return same and one.equal(other) and one.storage_offset() == other.storage_offset()
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


def test_values_are_read_as_torch_reads_them(tmp_path: Path) -> None:
    base, layer = torch.arange(24.0).reshape(2, 3, 4), nn.Linear(3, 2)
    values = {
        **{name: torch.ones(3, 2).to(dtype) for name, dtype in DTYPES.items()},
        "views": [base, base[1], base.mT, base[:, ::2], base[0, 0, 3], base.expand(2, 3, 4), torch.empty(0, 5)],
        "network": layer.state_dict(),
        "ordered": OrderedDict(a=1, b=OrderedDict()),
        "plain": (None, True, False, 0, 255, 65_535, -1, 2**31, -(2**63), 1.5, float("inf"), "", "süß", torch.float16),
        "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [(1, [2, {3: {}}])]),
        "scalar": torch.tensor(7.0),
        3: "three",
    }
    values["again"] = values["views"]
    torch.save(values, tmp_path / "x.pth")
    found, expected = read(tmp_path / "x.pth"), torch.load(tmp_path / "x.pth", weights_only=True)
    assert equal(found, expected)
    assert found["again"] is found["views"]
    assert found["views"][1].data_ptr() == found["views"][0].data_ptr() + 48  # one storage
    torch.save({"weight": layer.weight}, tmp_path / "x.pth")
    assert read(tmp_path / "x.pth")["weight"].equal(layer.weight)


def test_the_file_does_not_change_with_the_tensors(tmp_path: Path) -> None:
    torch.save(torch.zeros(1000), tmp_path / "x.pth")
    before = (tmp_path / "x.pth").read_bytes()
    read(tmp_path / "x.pth").add_(1)
    assert (tmp_path / "x.pth").read_bytes() == before


# ------------------------------------------------------------------------------------------------ hostile files

PROTOCOL = b"\x80\x02"
FLOATS = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu"  # of data/0
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n("


def archive(path: Path, data: bytes, entry: bytes = bytes(8), **entries: bytes) -> Path:
    """Write an archive with a pickle, and 8 bytes of numbers."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {"data.pkl": data, "data/0": entry, **entries}.items():
            file.writestr(f"x/{name}", content)
    return path


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def floats(length: int) -> bytes:
    """Return the pickle of a storage that claims to have `length` numbers."""
    return FLOATS + number(length) + b"tQ"


def tensor(length: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """Return the pickle of a tensor in a storage of `length` numbers."""
    sizes = [b"(" + b"".join(map(number, of)) + b"t" for of in (shape, stride)]
    return PROTOCOL + REBUILD + floats(length) + number(offset) + b"".join(sizes) + b"\x89NtR."


class Call:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def saved(value: object) -> bytes:
    return pickle.dumps(value, 2)


def deep(depth: int) -> bytes:
    return PROTOCOL + b"]" * depth + b"a" * (depth - 1) + b"."


CODE = {
    "5 GB of zeros": (saved(Call(bytearray, 5 << 30)), "pickle global builtins.bytearray"),
    "5 GB of text": (saved(Call(bytes, 5 << 30)), "pickle global"),
    "a set": (saved({1, 2}), "pickle global builtins.set"),
    "another instruction": (PROTOCOL + b"N\x81.", "pickle instruction NEWOBJ"),
    "protocol 4": (pickle.dumps({"a": 1}, 4), "pickle instruction FRAME"),
    "an instance": (b"(ios\nsystem\n.", "pickle instruction INST"),
    "a long integer": (PROTOCOL + number(1 << 70) + b".", "an integer of 71 bits"),
    "a name with escapes": (PROTOCOL + b"ca\x1b[2J\nb\n.", r"pickle global a\\x1b\[2J.b"),
    "3 numbers in 8 bytes": (tensor(3, 0, (3,), (1,)), r"data/0: found 8 bytes; expected 12"),
    "2^61 numbers": (tensor(2, 0, (2**61, 1), (1, 1)), r"a tensor of shape \(2305843009213693952, 1\) in 8 bytes"),
    "2^62 numbers of no step": (tensor(2, 0, (2**61, 2), (0, 0)), "a tensor of shape"),
    "an offset past the end": (tensor(2, 2, (1,), (1,)), "a tensor of shape"),
    "a step past the end": (tensor(2, 0, (2,), (2,)), "a tensor of shape"),
    "a step that wraps around": (tensor(2, 0, (2,), (2**62,)), "a tensor of shape"),
    "many instructions": (PROTOCOL + b"N" * 2_000_000 + b".", "a longer pickle"),
}


@pytest.mark.parametrize(("data", "message"), CODE.values(), ids=CODE)
def test_what_torch_does_not_write_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(RefusedError, match=message) as caught:
        read(archive(tmp_path / "x.pth", data))
    assert str(caught.value).isprintable()


DAMAGE = {
    "no end": PROTOCOL + b"N",
    "an empty pickle": b"",
    "two values": PROTOCOL + b"NN.",
    "no value": PROTOCOL + b".",
    "an unknown instruction": PROTOCOL + b"\xff.",
    "no mark": PROTOCOL + b"t.",
    "an unknown memo": PROTOCOL + b"h\x01.",
    "a text that is cut": PROTOCOL + b"X\xff\xff\xff\x7fabc.",
    "a lone surrogate": PROTOCOL + b"X\x03\0\0\0\xed\xa0\x80.",
    "a tuple as key": PROTOCOL + b"})Ns.",
    "a key without a value": PROTOCOL + b"}(Nu.",
    "an item of a text": PROTOCOL + b"X\x01\0\0\0aNa.",
    "a call of a text": PROTOCOL + b"X\x01\0\0\0a)R.",
    "a call of a dtype": PROTOCOL + b"ctorch\nfloat32\n)R.",
    "a dictionary made of pairs": PROTOCOL + b"ccollections\nOrderedDict\n]\x85R.",
    "attributes of None": PROTOCOL + b"NNb.",
    "a reference to a number": PROTOCOL + b"K\x01Q.",
    "a missing entry": tensor(2, 0, (2,), (1,)).replace(b"X\x01\0\0\x000", b"X\x01\0\0\x001"),
    "a negative offset": tensor(2, -1, (1,), (1,)),
    "a negative shape": tensor(2, 0, (-1, -1), (1, 1)),
    "a missing step": tensor(2, 0, (1, 1), (1,)),
    "100 dimensions": tensor(2, 0, (1,) * 100, (1,) * 100),
    "a shape of booleans": PROTOCOL + REBUILD + floats(2) + b"K\0\x88\x85\x88\x85\x89NtR.",
}


@pytest.mark.parametrize("data", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_pickle_is_one_line(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match=r"x\.pth: found content that torch cannot read") as caught:
        read(archive(tmp_path / "x.pth", data))
    assert "\n" not in str(caught.value)


def test_tensors_end_where_their_storage_ends(tmp_path: Path) -> None:
    assert read(archive(tmp_path / "x.pth", tensor(2, 1, (1,), (1,)))).equal(torch.zeros(1))
    assert read(archive(tmp_path / "x.pth", tensor(2, 5, (0, 3), (9, 9)))).shape == (0, 3)
    big = "big" if sys.byteorder == "little" else "little"
    with pytest.raises(InputError, match="another byte order"):
        read(archive(tmp_path / "x.pth", tensor(2, 0, (2,), (1,)), byteorder=big.encode()))
    with pytest.raises(InputError, match="content that torch cannot read"):
        read(archive(tmp_path / "x.pth", b""))


BOMBS = {
    "zeros": saved(Call(bytearray, 5 << 30)),
    "dictionaries": PROTOCOL + b"(" + b"}" * 1_900_000 + b"l.",
    "deep lists": deep(900_000),
    "copies": PROTOCOL + b"X\0\0\x10\0" + b"a" * 2**20 + b"q\0" + b"h\0" * 900_000 + b".",
    "tensors": PROTOCOL + floats(2) + b"q\x000(" + (REBUILD + b"h\0K\0))\x89NtR") * 150_000 + b"l.",
    "a storage": tensor(5 << 28, 0, (1,), (1,)),
    "an expanded tensor": tensor(2, 0, (10**6, 10**6), (0, 0)),
}


PROGRAM = """
import resource, sys
from pathlib import Path
from jitkit.checkpoints.format import load_checkpoint
from jitkit.errors import JitkitError

used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 800_000_000, used + 800_000_000))
for name in sys.argv[1:]:
    try:
        load_checkpoint(Path(name))
    except JitkitError as error:
        print(error.exit_code, Path(name).stem)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_small_files_need_little_memory_and_time(tmp_path: Path) -> None:
    """In a process whose address space may grow by 800 MB."""
    paths = [archive(tmp_path / f"{name}.pth", data) for name, data in BOMBS.items()]
    command = [sys.executable, "-c", PROGRAM, *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    codes = dict.fromkeys(BOMBS, "8") | {"deep lists": "4", "copies": "4"}
    assert done.stdout.splitlines() == [f"{code} {name}" for name, code in codes.items()], done.stderr
