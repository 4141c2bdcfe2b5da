from dataclasses import replace
from itertools import product

import pytest
import torch

from jitkit.diffusion.process import interpolate, levels_at, noise_from_x, velocity_from_x
from jitkit.protocols import Noised
from jitkit.testing import parametrize_conformance
from jitkit.testing.toys import Arc, Straight, toy_codec
from jitkit_plugins.objectives.flow import Flow

SPACES = ("x", "v", "eps")
NINE = [Flow(prediction=prediction, loss=loss) for prediction, loss in product(SPACES, SPACES)]
CODEC = toy_codec()


def noised(path, *times):
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(8, (len(times), CODEC.capacity), generator=generator)
    x, t = CODEC.encode(tokens), torch.tensor(times)
    noise = torch.randn(x.shape, generator=generator) * path.noise_scale
    return Noised(tokens, x, noise, t, interpolate(x, noise, levels_at(path, t)))


@parametrize_conformance("objective", *NINE, Flow(self_conditioning=0.5, known=0.25))
def test_conformance(conformance_test):
    conformance_test()


@pytest.mark.parametrize("objective", NINE, ids=lambda o: f"{o.prediction}-{o.loss_space}")
@pytest.mark.parametrize("path", [Straight(), Arc(noise_scale=2.0)], ids=["straight", "arc"])
def test_the_loss_is_the_squared_error_in_its_space(objective, path):
    """Read the output as an image, carry it into the space of the loss, and compare there."""
    batch = noised(path, 0.2, 0.5, 0.8)
    context = {"schedule": path, "codec": CODEC}
    raw = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(1))
    x_hat, at = objective.estimate(raw, batch.z, batch.t, **context), levels_at(path, batch.t)
    carried = {
        "x": x_hat - batch.x,
        "v": velocity_from_x(x_hat, batch.z, at) - velocity_from_x(batch.x, batch.z, at),
        "eps": noise_from_x(x_hat, batch.z, at) - batch.noise,
    }[objective.loss_space]
    expected = carried.square().mean((1, 2, 3))
    assert torch.allclose(objective.loss(raw, batch, **context), expected, rtol=1e-4)


def test_the_default_is_the_clamped_v_loss_of_jit():
    """|x_hat - x|^2 / max(1 - t, 0.05)^2: JiT, 2511.13720."""
    batch = noised(Straight(), 0.0, 0.5, 0.94, 0.96, 1.0)
    x_hat = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(1))
    weight = 1 / (1 - batch.t).clamp(min=0.05).square()
    expected = weight * (x_hat - batch.x).square().mean((1, 2, 3))
    assert torch.allclose(Flow().loss(x_hat, batch, schedule=Straight(), codec=CODEC), expected)


def test_the_loss_is_a_mean_over_unknown_pixels():
    batch = noised(Straight(), 0.5, 0.5)
    raw = batch.x + 0.3  # the same error everywhere
    known = CODEC.pixel_mask(torch.arange(CODEC.capacity).expand(2, -1) < torch.tensor([[5], [15]])).float()
    half = Flow(loss="x").loss(raw, replace(batch, known=known), schedule=Straight(), codec=CODEC)
    assert torch.allclose(half, torch.full((2,), 0.09))


def test_arithmetic_is_in_float32_whatever_the_output():
    batch = noised(Straight(), 0.3, 0.9)
    raw = (batch.x + 0.25).bfloat16()  # exact in bfloat16, unlike its weighted square
    losses = Flow().loss(raw, batch, schedule=Straight(), codec=CODEC)
    assert losses.dtype == torch.float32
    assert torch.allclose(losses, 0.0625 / (1 - batch.t).square(), rtol=1e-5)


def test_noise_prediction_reads_pure_noise_as_grey():
    batch = noised(Straight(), 0.0)
    x_hat = Flow(prediction="eps").estimate(batch.z, batch.z, batch.t, schedule=Straight(), codec=CODEC)
    assert torch.equal(x_hat, torch.zeros_like(x_hat))


def test_a_mistake_in_the_noise_is_magnified_no_more_than_t_eps_allows():
    batch = noised(Straight(), 0.0, 0.01, 0.05, 1.0)
    context = {"schedule": Straight(), "codec": CODEC}
    right, wrong = (
        Flow(prediction="eps").estimate(raw, batch.z, batch.t, **context) for raw in (batch.noise, batch.noise + 1)
    )
    assert ((wrong - right).abs().amax((1, 2, 3)) <= 1 / 0.05 + 1e-4).all()


def test_settings_go_by_their_names_in_manifests():
    settings = Flow(prediction="eps", loss="x").model_dump(mode="json")
    assert settings["loss"] == "x"
    assert Flow(**settings).loss_space == "x"
