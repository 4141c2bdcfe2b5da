"""The validation loss is the training loss under fixed noise."""

from dataclasses import replace

import pytest
import torch

from jitkit.diffusion.noising import draw_noised
from jitkit.diffusion.self_conditioning import draw_self_conditioning
from jitkit.diffusion.training_pass import diffusion_loss
from jitkit.errors import InputError
from jitkit.evaluation.noise import window_generator
from jitkit.testing.oracle import TINY, tiny_pipeline, tiny_windows
from tests.tiny import validation_loss

ALL_INPUTS = TINY.replace('prediction = "x"', 'prediction = "x", self_conditioning = 0.5')


def denoiser_with_random_weights():
    """Return a denoiser whose network (initially zero) has an output and uses all its inputs."""
    denoiser = tiny_pipeline(ALL_INPUTS).denoiser
    torch.manual_seed(0)
    for parameter in denoiser.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return denoiser


def loss(denoiser, windows, *, seed=0, batch_size=4):
    return validation_loss(denoiser, windows, seed=seed, batch_size=batch_size)


def test_it_is_the_mean_of_the_training_loss_of_each_window():
    denoiser, windows, losses = denoiser_with_random_weights(), tiny_windows(), []
    for window in windows:
        generator = window_generator(3, window, "validation")
        parts = {"codec": denoiser.codec, "schedule": denoiser.schedule, "objective": denoiser.objective}
        batch = draw_noised(window[None], **parts, generator=generator, device="cpu")
        condition = draw_self_conditioning(1, objective=denoiser.objective, generator=generator)
        losses.append(diffusion_loss(denoiser, batch, condition=condition).item())
    assert loss(denoiser, windows, seed=3) == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_it_depends_on_the_seed_and_the_windows_and_nothing_else():
    denoiser, windows = denoiser_with_random_weights(), tiny_windows()
    first = loss(denoiser, windows)
    torch.rand(1)
    assert loss(denoiser, windows) == first
    assert loss(denoiser, windows.flip(0), batch_size=1) == pytest.approx(first, rel=1e-5)
    assert loss(denoiser, windows, seed=1) != pytest.approx(first, rel=1e-3)
    assert loss(denoiser, windows[:3]) != pytest.approx(first, rel=1e-3)


def test_it_changes_neither_the_network_nor_the_random_state():
    denoiser = denoiser_with_random_weights()
    denoiser.network.train()
    state = torch.get_rng_state()
    loss(denoiser, tiny_windows())
    assert denoiser.network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in denoiser.network.parameters())


def test_a_worse_network_has_a_higher_loss():
    denoiser = tiny_pipeline().denoiser
    silent = loss(denoiser, tiny_windows())

    class Inverted(torch.nn.Module):
        def forward(self, z, t, *, x_prev=None, known=None):
            return -z

    assert loss(replace(denoiser, network=Inverted()), tiny_windows()) > silent


def test_no_window_is_an_error():
    with pytest.raises(InputError, match="no held-out window"):
        loss(tiny_pipeline().denoiser, tiny_windows()[:0])
