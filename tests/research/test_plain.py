"""The plain network and loss equal jitkit's, and the comparison runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from jitkit.diffusion.process import interpolate, levels_at
from jitkit.protocols import NetworkInputs, Noised
from jitkit.testing.toys import Straight
from jitkit_plugins.backbones.jit import JitSettings
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.objectives.codeword import Codeword
from jitkit_plugins.objectives.flow import Flow
from research.plain.__main__ import BF16, FP32, JITKIT, main
from research.plain.network import PlainJit
from research.plain.objective import plain

TEXT = "It was the best of times, it was the worst of times.\n" * 60


@pytest.mark.parametrize("rope", ["grid", "text"])
@pytest.mark.parametrize("bottleneck", [None, 5])
def test_the_plain_network_equals_jitkits(rope: str, bottleneck: int | None) -> None:
    """Outputs and gradients agree for the same weights, with all optional inputs."""
    settings = JitSettings.model_validate(
        {"image_size": 8, "patch_size": 2, "embed_dim": 16, "depth": 2, "num_heads": 2, "rope": rope}
        | {"bottleneck_dim": bottleneck}
    )
    torch.manual_seed(0)
    inputs = NetworkInputs(x_prev=True, known=True, scale=True)
    ours, plain = settings.build(inputs), PlainJit(settings, inputs)
    for value in ours.parameters():
        torch.nn.init.normal_(value, std=0.2)
    plain.load_state_dict(ours.state_dict())
    z, x_prev, known, t, scale = (torch.rand(3, *shape) for shape in ((3, 8, 8), (3, 8, 8), (1, 8, 8), (), ()))
    found = []
    for network in (ours, plain):
        raw = network(z, t, x_prev=x_prev, known=known, scale=scale)
        raw.square().sum().backward()
        found.append([raw.detach(), *(value.grad for value in network.parameters() if value.grad is not None)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_the_plain_loss_equals_jitkits() -> None:
    """Loss, gradient, and estimate of `codeword` agree. Other objectives are returned unchanged."""
    codec, path = Bits().build(11, 8, 4), Straight()
    tokens = torch.randint(11, (3, codec.capacity))
    x, noise, t = codec.encode(tokens), torch.randn(3, 3, 8, 8), torch.tensor([0.2, 0.5, 0.8])
    batch = Noised(tokens, x, noise, t, interpolate(x, noise, levels_at(path, t)))
    ours = Codeword(context="token", self_conditioning=0.5)
    raw = torch.randn(3, ours.channels(codec), 8, 8, requires_grad=True)
    found = []
    for objective in (ours, plain(ours)):
        loss = objective.loss(raw, batch, schedule=path, codec=codec)
        (gradient,) = torch.autograd.grad(loss.sum(), raw)
        found.append((loss, gradient, objective.estimate(raw, batch.z, t, schedule=path, codec=codec)))
    assert type(plain(ours)) is not Codeword
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert plain(Flow()) == Flow()


def test_the_command_compares_three_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    tiny = (
        "backbone.embed_dim=16",
        "backbone.depth=1",
        "backbone.num_heads=2",
        "train.batch_size=2",
        "train.max_steps=3",
    )
    words = ["jit-nano", "--data", str(tmp_path / "text.txt"), "--repeats", "2", "--device", "cpu"]
    words += [word for setting in tiny for word in ("--set", setting)]
    main([*words, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert {name: len(times) for name, times in document["seconds"].items()} == {JITKIT: 2, FP32: 2, BF16: 2}
    for name in (FP32, BF16):
        ratios = [a / b for a, b in zip(document["seconds"][name], document["seconds"][JITKIT], strict=True)]
        assert document["ratio"][name] == pytest.approx(sum(ratios) / 2)
    main([*words, "--only", FP32])
    assert f"| {FP32} |" in capsys.readouterr().out
