"""Networks by name: weights that fit and weights that do not."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import save_file

import jitkit
from jitkit.errors import InputError, RefusedError, UsageError
from jitkit.protocols import NetworkInputs
from jitkit.zoo.index import builtin_folder
from jitkit_plugins.backbones import published
from jitkit_plugins.backbones.blocks import Time
from jitkit_plugins.backbones.jit import JitSettings


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shrink a published size, because a real one takes a second to initialize."""
    small = {"embed_dim": 32, "depth": 1, "num_heads": 2, "bottleneck_dim": 128}
    monkeypatch.setitem(published.SIZES, "B", small)


def inputs(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(2, 3, size, size), torch.rand(2)


def moved(network: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(std=0.1)
    return network


@pytest.mark.parametrize("model_name", published.MODEL_NAMES)
def test_every_name_builds_on_meta(model_name: str) -> None:
    with torch.device("meta"):
        network = jitkit.build_jit_model(model_name, img_size=64)
        assert network(*(value.to("meta") for value in inputs(64))).shape == (2, 3, 64, 64)
    names = set(network.state_dict())
    narrows = int(model_name.partition("/")[2]) >= 16 or model_name in {"JiT-B/8", "JiT-L/8"}
    assert ("patch_embedding.1.weight" in names) == narrows  # 3 p^2 numbers a patch against 128 or 256


def test_a_new_network_follows_the_seed() -> None:
    torch.manual_seed(1)
    first = jitkit.build_jit_model(img_size=8)
    torch.manual_seed(1)
    again = jitkit.build_jit_model(img_size=8, model_name="JiT-B/4", predict_clean=True)
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"x_prev": True},
        {"known": True},
        {"x_prev": True, "token_posterior": True},
        {"x_prev": True, "known": True, "scale": True},
    ],
)
def test_weights_come_back_exactly(tmp_path: Path, suffix: str, flags: dict[str, bool]) -> None:
    network = moved(JitSettings.from_model_name("JiT-B/4", 16).build(NetworkInputs(**flags)))
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"model_state_dict": network.state_dict()}, path)
    else:
        save_file(network.state_dict(), path)
    loaded = jitkit.load_pretrained_jit("JiT-B/4", path, 16)
    z, t = inputs(16)
    assert torch.equal(loaded(z, t), network(z, t))
    assert not loaded.training
    taken = {name: getattr(loaded.inputs, name) for name in ("x_prev", "known", "token_posterior", "scale")}
    assert taken == {name: flags.get(name, False) for name in taken}


@pytest.mark.parametrize("time", get_args(Time))
def test_the_inputs_of_a_network_follow_from_its_weights(tmp_path: Path, time: str) -> None:
    flags = {"x_prev": True, "token_posterior": True}
    network = moved(
        JitSettings.from_model_name("JiT-B/4", 16).model_copy(update={"time": time}).build(NetworkInputs(**flags))
    )
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    z, t = inputs(16)
    assert torch.equal(jitkit.load_pretrained_jit("JiT-B/4", tmp_path / "weights.safetensors", 16)(z, t), network(z, t))


def test_positions_and_time_come_from_the_manifest_with_the_weights(tmp_path: Path) -> None:
    """For a checkpoint of the zoo's jit-b4, which has text positions: weights do not show them."""
    manifest = (builtin_folder() / "jit-b4.toml").read_text(encoding="utf-8")
    options = {"rope": "text", "time": "none"}
    settings = JitSettings.from_model_name("JiT-B/4", 16).model_copy(update=options)
    network = moved(settings.build(NetworkInputs(x_prev=True, token_posterior=True), channels=7))
    z, t = inputs(16)
    path = tmp_path / "model.pth"
    torch.save({"model_state_dict": network.state_dict(), "manifest": manifest}, path)
    assert torch.equal(jitkit.load_pretrained_jit("JiT-B/4", path, 16)(z, t), network(z, t))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    with_weights = manifest.partition("[weights]")[0] + f'[weights]\nfile = "model.safetensors"\nsha256 = "{digest}"\n'
    (tmp_path / "model.toml").write_text(with_weights, encoding="utf-8")
    exported = jitkit.load_pretrained_jit("JiT-B/4", tmp_path / "model.safetensors", 16)
    assert torch.equal(exported(z, t), network(z, t))
    (tmp_path / "model.toml").write_text(with_weights.replace(digest, "0" * 64), encoding="utf-8")
    with pytest.raises(RefusedError, match=f"model.safetensors: sha256: found {digest}; expected 0{{64}}"):
        jitkit.load_pretrained_jit("JiT-B/4", tmp_path / "model.safetensors", 16)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    weights = JitSettings.from_model_name("JiT-B/4", 16).build().state_dict()
    torch.save({"model_state_dict": weights}, path)
    with pytest.raises(InputError, match=r"weights\.pth: position_embedding: found \(16, 32\).*expected \(4, 32\)"):
        jitkit.load_pretrained_jit("JiT-B/4", path, 8)
    missing = {name: value for name, value in weights.items() if name != "pixel_head.bias"}
    torch.save({"model_state_dict": missing}, path)
    with pytest.raises(InputError, match=r"pixel_head\.bias: found no such tensor"):
        jitkit.load_pretrained_jit("JiT-B/4", path, 16)
    older = {name.replace("pixel_head", "head"): value for name, value in weights.items()}
    torch.save({"model_state_dict": older}, path)
    with pytest.raises(InputError, match=r"head\.weight: .*expected no tensor of this name"):
        jitkit.load_pretrained_jit("JiT-B/4", path, 16)
    torch.save({"model_state_dict": {**weights, "decoder.weight": torch.zeros(1)}}, path)
    with pytest.raises(InputError, match=r"decoder\.weight: .*expected no tensor of this name"):
        jitkit.load_pretrained_jit("JiT-B/4", path, 16)
    with pytest.raises(InputError, match="absent"):
        jitkit.load_pretrained_jit("JiT-B/4", tmp_path / "absent.pth", 16)


class Code:
    """Something that would run code when unpickled."""

    def __reduce__(self):
        return (print, ("owned",))


def test_code_in_a_file_never_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"model_state_dict": {"pixel_head.weight": Code()}}, path)
    with pytest.raises(RefusedError, match="print"):
        jitkit.load_pretrained_jit("JiT-B/4", path, 16)
    assert "owned" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model_name": "JiT-B4"}, "found model 'JiT-B4'; expected one of JiT-B/4, .*Did you mean JiT-B/4?"),
        ({"model_name": "JiT-B/5"}, "found model 'JiT-B/5'"),
        ({"img_size": 65}, "found img_size 65; expected a positive multiple of 4"),
        ({"img_size": 0}, "found img_size 0"),
        ({"img_size": "64"}, "found img_size '64'"),
        ({"predict_clean": False}, "found predict_clean=False.*the table \\[objective\\]"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        jitkit.build_jit_model(**arguments)
