"""Checkpoints load equal to what was saved; anything else is refused with a one-line error."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import math
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from jitkit.checkpoints.format import ADDED_LATER, FORMAT, Checkpoint, load_checkpoint, save_checkpoint
from jitkit.checkpoints.open import open_model
from jitkit.checkpoints.weights import load_weights, require_sha256
from jitkit.errors import InputError, JitkitError, RefusedError
from jitkit.storage.file_content import read_file
from jitkit.storage.safetensors_file import DTYPES, read_safetensors
from jitkit.storage.weights import load_into


def new_checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    weights = nn.Linear(3, 5).state_dict()
    return Checkpoint(
        model_state_dict=weights,
        ema_state_dict={"0.9": {name: value / 2 for name, value in weights.items()}, "0.99": dict(weights)},
        optimizer_state_dict={"weight": {"step": torch.tensor(7.0), "exp_avg": torch.ones(5, 3)}},
        epoch=2,
        step=7,
        loss=0.5,
        best_loss=None,
        rng={"cpu": torch.get_rng_state()},
        manifest='id = "süß"\n',
        tokenizer={"tokenizers/a.tiktoken": bytes(range(256)), "empty": b""},
        validation_tokens=torch.arange(6).reshape(2, 3),
        data={"fingerprint": "ab", "origin": "text"},
        threads=2,
        execution={"device": "cpu"},
        versions={"torch": "2.13.0"},
        schedule_state_dict={"seen": torch.ones(4)},
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "checkpoint_epoch_2.pth"
    save_checkpoint(path, new_checkpoint())
    return path


def equal(one: Any, other: Any) -> bool:
    """Return whether nested values are equal, including tensors."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and one.equal(other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(equal(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def test_a_saved_checkpoint_loads_equal(whole: Path) -> None:
    written, read = new_checkpoint(), load_checkpoint(whole)
    for field in fields(Checkpoint):
        assert equal(getattr(written, field.name), getattr(read, field.name)), field.name


def test_a_file_without_schedule_state_loads(whole: Path, tmp_path: Path) -> None:
    document = torch.load(whole, weights_only=True)
    del document["schedule_state_dict"]
    torch.save(document, tmp_path / "old.pth")
    assert load_checkpoint(tmp_path / "old.pth").schedule_state_dict == {}


def test_a_checkpoint_contains_no_globals(whole: Path) -> None:
    allowed = torch.serialization.get_safe_globals()  # parts of torch allow themselves when they are imported
    torch.serialization.clear_safe_globals()
    try:
        assert torch.load(whole, weights_only=True)["format"] == FORMAT
    finally:
        torch.serialization.add_safe_globals(allowed)


# ------------------------------------------------------------------------------------------------ damage


def cut(fraction: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * fraction)]


def legacy(content: bytes) -> bytes:
    del content
    file = io.BytesIO()
    torch.save({"model_state_dict": {}}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def other_zip(content: bytes) -> bytes:
    del content
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hello.txt", "no tensors here")
    return file.getvalue()


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda content: b"", "an empty file"),
    "cut to a tenth": (cut(0.1), "a truncated archive"),
    "cut to a half": (cut(0.5), "a truncated archive"),
    "last byte missing": (lambda content: content[:-1], "a truncated archive"),
    "zeros": (lambda content: bytes(len(content)), "starting with zeros"),
    "web page": (lambda content: b"\n<!DOCTYPE html><title>404</title>", "a web page"),
    "lfs": (lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:ab", "a Git LFS pointer"),
    "legacy": (legacy, "a bare pickle"),
    "text": (lambda content: b"epoch 10", "a text file"),
    "other bytes": (lambda content: b"epoch\x00\xff", "7 bytes, not an archive"),
    "other archive": (other_zip, "content that torch cannot read"),
}


@pytest.mark.parametrize(("damage", "found"), DAMAGE.values(), ids=DAMAGE)
def test_a_file_that_is_not_a_checkpoint_is_described(
    whole: Path, tmp_path: Path, damage: Callable[[bytes], bytes], found: str
) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(damage(whole.read_bytes()))
    with pytest.raises(InputError, match=f"x.pth: found .*{found}") as caught:
        load_checkpoint(path)
    assert "weights_only" not in str(caught.value), "torch's advice is to turn safety off"


def test_a_missing_file_or_a_folder_is_described(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_checkpoint(tmp_path / "nope.pth")
    with pytest.raises(InputError, match="a folder"):
        load_checkpoint(tmp_path)


def test_a_pipe_or_device_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pth")
    os.mkfifo(tmp_path / "x.safetensors")
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    (tmp_path / "gone.pth").symlink_to("nowhere")
    kinds = {
        "x.pth": "a named pipe",
        "x.safetensors": "a named pipe",
        "zero.pth": "a device",
        "gone.pth": "no such file",
    }
    for name, found in kinds.items():
        with pytest.raises(InputError, match=f"{name}: found {found}"):
            open_model(tmp_path / name)


def test_safetensors_under_the_wrong_name_is_recognized(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3)}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="a safetensors file"):
        load_checkpoint(tmp_path / "x.pth")


def test_a_flipped_bit_is_detected_in_every_entry(whole: Path, tmp_path: Path) -> None:
    content = whole.read_bytes()
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(whole) as archive:
        entries = [entry for entry in archive.infolist() if entry.file_size]
    assert len(entries) > 10
    for entry in entries:
        start = content.index(entry.filename.encode(), entry.header_offset) + len(entry.filename)
        padding = struct.unpack_from("<H", content, entry.header_offset + 28)[0]
        damaged = bytearray(content)
        damaged[start + padding + entry.file_size // 2] ^= 16
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="do not match their checksum"):
            load_checkpoint(path)


def test_a_flipped_bit_in_the_directory_is_refused_or_harmless(whole: Path, tmp_path: Path) -> None:
    content, path = whole.read_bytes(), tmp_path / "x.pth"
    for place, mask in itertools.product(range(len(content) - 98, len(content)), (1, 128)):
        damaged = bytearray(content)
        damaged[place] ^= mask
        path.write_bytes(damaged)
        with contextlib.suppress(InputError, RefusedError):
            assert equal(load_checkpoint(path).model_state_dict, new_checkpoint().model_state_dict)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_any_changed_byte_is_refused_or_harmless(whole: Path, tmp_path: Path, place: float, mask: int) -> None:
    content = bytearray(whole.read_bytes())
    content[int(place * len(content))] ^= mask
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    try:
        read = load_checkpoint(path)
    except (InputError, RefusedError) as error:
        message = str(error)
    else:  # the byte was padding, a date or a version
        message = ""
        for field in fields(Checkpoint):
            assert equal(getattr(new_checkpoint(), field.name), getattr(read, field.name))
    assert "\n" not in message


# ------------------------------------------------------------------------------------------------ safety


class Attack:
    """Would run code when unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


ATTACKS = {
    "posix.system": lambda mark: Attack(os.system, f"touch {mark}"),
    "builtins.eval": lambda mark: Attack(eval, f"open({str(mark)!r}, 'w')"),
    "torch.storage._load_from_bytes": lambda mark: Attack(torch.storage._load_from_bytes, pickle.dumps(1)),
    "functools.partial": lambda mark: functools.partial(os.system, f"touch {mark}"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_code_in_a_file_is_named_and_not_run(tmp_path: Path, name: str) -> None:
    path, mark = tmp_path / "x.pth", tmp_path / "was run"
    torch.save({"format": 1, "model_state_dict": ATTACKS[name](mark)}, path)
    for load in (load_checkpoint, load_weights):
        with pytest.raises(RefusedError, match=f"x.pth: found pickle global .*{name}") as caught:
            load(path)
        assert caught.value.exit_code == 8
    assert not mark.exists()


def test_a_bare_pickle_is_not_opened(tmp_path: Path) -> None:
    path, mark = tmp_path / "x.pth", tmp_path / "was run"
    path.write_bytes(pickle.dumps(ATTACKS["posix.system"](mark)))
    with pytest.raises(InputError, match="a bare pickle, which can contain code"):
        load_checkpoint(path)
    assert not mark.exists()


def test_a_compressed_archive_is_refused(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(RefusedError, match="a compressed entry"):
        load_checkpoint(path)


def test_entries_that_share_their_bytes_are_refused(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    shutil.copy(whole, path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0], b"again")
    with pytest.raises(RefusedError, match="two entries with the same name"):
        load_checkpoint(path)


def test_a_tensor_larger_than_its_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"model_state_dict": {"weight": torch.zeros(1).expand(10**6, 10**6)}}, path)
    assert path.stat().st_size < 2000
    with pytest.raises(RefusedError, match=r"shape \(1000000, 1000000\) in 4 bytes"):
        load_weights(path)


# ------------------------------------------------------------------------------------------------ content


def rewritten(whole: Path, path: Path, **changes: Any) -> Path:
    document = torch.load(whole, weights_only=True) | changes
    torch.save({key: value for key, value in document.items() if value is not ...}, path)
    return path


@pytest.mark.parametrize("field", [field.name for field in fields(Checkpoint)])
def test_a_missing_or_malformed_key_is_named(whole: Path, tmp_path: Path, field: str) -> None:
    for value in ([1.5],) if field in ADDED_LATER else (..., [1.5]):
        with pytest.raises(InputError, match=rf"x.pth: {field}: found"):
            load_checkpoint(rewritten(whole, tmp_path / "x.pth", **{field: value}))


ODD: dict[str, tuple[str, Any, str]] = {
    "a loss of nan": ("loss", math.nan, "a finite number or None"),
    "a best loss of inf": ("best_loss", math.inf, "a finite number or None"),
    "a step of true": ("step", True, "an integer >= 0"),
    "a negative epoch": ("epoch", -1, "an integer >= 0"),
    "windows of floats": ("validation_tokens", torch.ones(2, 3), "token ids"),
    "a file of floats": ("tokenizer", {"a": torch.ones(2)}, "names and bytes"),
    "a name that is a number": ("model_state_dict", {3: torch.ones(2)}, "names and tensors"),
    "averages that are tensors": ("ema_state_dict", {"0.9": torch.ones(2)}, "names and tensors for each decay"),
}


@pytest.mark.parametrize(("field", "value", "expected"), ODD.values(), ids=ODD)
def test_an_odd_value_is_named(whole: Path, tmp_path: Path, field: str, value: Any, expected: str) -> None:
    with pytest.raises(InputError, match=rf"x.pth: {field}: found .*expected {expected}"):
        load_checkpoint(rewritten(whole, tmp_path / "x.pth", **{field: value}))


@pytest.mark.parametrize("name", ["../x", "/x", "a\nb", "nul", "x" * 256])
def test_an_unsafe_name_of_an_embedded_file_is_refused(whole: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError, match=r"x\.pth: tokenizer: found path"):
        load_checkpoint(rewritten(whole, tmp_path / "x.pth", tokenizer={name: torch.zeros(1, dtype=torch.uint8)}))


def test_a_format_that_contains_itself_is_shown(whole: Path, tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep, deep]
    with pytest.raises(InputError, match=r"x\.pth: found format \[\["):
        load_checkpoint(rewritten(whole, tmp_path / "x.pth", format=deep))


@pytest.mark.parametrize("number", [None, True, "1", 1.0, torch.ones(2), torch.ones(0), [], {}], ids=repr)
def test_a_format_that_is_no_number_is_refused(whole: Path, tmp_path: Path, number: Any) -> None:
    with pytest.raises(InputError, match=r"x\.pth: found format .*; expected format 1"):
        load_checkpoint(rewritten(whole, tmp_path / "x.pth", format=number))


def test_a_newer_format_is_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"found format 2; expected format 1. A newer jitkit may read it"):
        load_checkpoint(rewritten(whole, tmp_path / "x.pth", format=FORMAT + 1))


def test_a_checkpoint_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"epoch": 3, "model_state_dict": {"w": torch.ones(2)}, "loss": 0.1}, path)
    found = (
        r"keys \['epoch', 'loss', 'model_state_dict'\]; expected a jitkit checkpoint\. .*jitkit\.load_pretrained_jit"
    )
    with pytest.raises(InputError, match=found):
        load_checkpoint(path)
    assert load_weights(path)[0]["w"].equal(torch.ones(2))


# ------------------------------------------------------------------------------------------------ weights

MISFITS: dict[str, tuple[dict[str, torch.Tensor], str]] = {
    "missing": ({"weight": torch.ones(5, 3)}, r"bias: found no such tensor; expected \(5,\) of float32"),
    "extra": (
        {"weight": torch.ones(5, 3), "bias": torch.ones(5), "scale": torch.ones(1)},
        r"scale: found \(1,\) of float32; expected no tensor of this name",
    ),
    "reshaped": ({"weight": torch.ones(3, 5), "bias": torch.ones(5)}, r"weight: found \(3, 5\) .* expected \(5, 3\)"),
    "other dtype": ({"weight": torch.ones(5, 3).double(), "bias": torch.ones(5)}, r"weight: found .* of float64"),
    "nan": ({"weight": torch.full((5, 3), torch.nan), "bias": torch.ones(5)}, "weight: found values that are not"),
    "inf": (
        {"weight": torch.ones(5, 3), "bias": torch.tensor([0, 0, 0, 0, -torch.inf])},
        "bias: found values that are not",
    ),
    "inf and -inf": (
        {"weight": torch.ones(5, 3), "bias": torch.tensor([0, torch.inf, 0, -torch.inf, 0])},
        "bias: found values that are not",
    ),
    "half": (
        {"weight": torch.ones(5, 3).half(), "bias": torch.ones(5)},
        "weight: found .* of float16; expected .* of float32",
    ),
}


@pytest.mark.parametrize(("weights", "message"), MISFITS.values(), ids=MISFITS)
def test_weights_that_do_not_fit_are_named_and_change_nothing(weights: dict[str, torch.Tensor], message: str) -> None:
    module = nn.Linear(3, 5)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(InputError, match=f"x.pth: {message}"):
        load_into(module, weights, file="x.pth")
    assert equal(before, dict(module.state_dict()))


def test_a_message_about_weights_stays_short() -> None:
    with pytest.raises(InputError) as caught:
        load_into(nn.Linear(3, 5), {f"layer {n}": torch.ones(1) for n in range(100)}, file="x.pth")
    assert len(caught.value.problems) == 6
    assert "97 more" in str(caught.value)


def header(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


U8 = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}


def entry(shape: list[int], size: int) -> bytes:
    """Return a file with one tensor of `size` bytes."""
    return header(json.dumps({"a": {"dtype": "U8", "shape": shape, "data_offsets": [0, size]}})) + bytes(size)


SAFETENSORS: dict[str, tuple[bytes, type[JitkitError]]] = {
    "empty": (b"", InputError),
    "cut": (header('{"a": 1}')[:-3], InputError),
    "no json": (header("{{{{"), InputError),
    "overlap": (
        header(
            '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}'
        )
        + bytes(6),
        InputError,
    ),
    "trailing": (header('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}') + bytes(9), InputError),
    "long header": (header(" " * (2**20 + 1)), RefusedError),
    "30,000 names": (header(json.dumps({str(n): U8 for n in range(30_000)})), RefusedError),
    "a repeated name": (header(f'{{"a":{json.dumps(U8)},"a":{json.dumps(U8)}}}') + bytes(1), InputError),
    "a repeated key": (
        header('{"a":{"dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1]}}') + bytes(1),
        InputError,
    ),
    "an unknown dtype": (header('{"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}}') + bytes(1), InputError),
    "a dtype that is no name": (header('{"a":{"dtype":[],"shape":[1],"data_offsets":[0,1]}}') + bytes(1), InputError),
    "a shape that wraps around": (entry([2**61, 8], 0), InputError),
    "a shape of 2^64 + 1": (entry([2**64 + 1], 1), InputError),
    "a negative shape": (entry([-1, -1], 1), InputError),
    "a shape of booleans": (entry([True], 1), InputError),
    "2,000 dimensions": (entry([1] * 2000, 1), InputError),
    "an end before the beginning": (
        header('{"a":{"dtype":"U8","shape":[],"data_offsets":[1,0]}}') + bytes(1),
        InputError,
    ),
    "an offset past the end": (header('{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}') + bytes(1), InputError),
    "a gap": (header('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}') + bytes(2), InputError),
    "a list": (header("[1]"), InputError),
    "a deep list": (header("[" * 100_000), InputError),
    "a long number": (entry([int("9" * 4000)], 1).replace(b"999", b"99999"), InputError),
    "not UTF-8": (struct.pack("<Q", 2) + b"\xff\xff", InputError),
    "a header of 2^63 bytes": (struct.pack("<Q", 2**63) + b"{}", InputError),
}


@pytest.mark.parametrize(("content", "kind"), SAFETENSORS.values(), ids=SAFETENSORS)
def test_damaged_safetensors(tmp_path: Path, content: bytes, kind: type[JitkitError]) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(kind, match=r"x.safetensors: found") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", DTYPES)
def test_tensors_of_every_dtype_and_shape_are_read_as_written(tmp_path: Path, name: str) -> None:
    dtype = DTYPES[name]
    shapes = [(3, 5), (), (0, 4), (7,), (1, 1, 2)]
    written = {f"ü {n}": torch.arange(math.prod(shape)).reshape(shape).to(dtype) for n, shape in enumerate(shapes)}
    save_file({**written, "odd": torch.ones(3, dtype=torch.uint8)}, tmp_path / "x.safetensors", metadata={"made": "by"})
    read = read_safetensors(tmp_path / "x.safetensors")
    assert read.keys() == {*written, "odd"}
    for key, value in written.items():
        expected = value.float() if dtype == torch.bfloat16 else value
        assert read[key].dtype == expected.dtype
        assert read[key].equal(expected)


def test_a_wrong_hash_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(3)}, path)
    with pytest.raises(RefusedError, match=r"sha256: found [0-9a-f]{64}; expected 0{64}"):
        require_sha256(read_file(path), "0" * 64)
    assert load_weights(path)[0]["a"].equal(torch.ones(3))
