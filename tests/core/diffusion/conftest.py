"""A network small enough to reason about."""

import pytest
import torch
from torch import nn


class Mixer(nn.Module):
    """Every output pixel is a linear mix of the inputs around it; `calls` records the inputs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Conv2d(3 + 3 + 1 + 3 + 1, 3, 3, padding=1)
        self.calls = []

    def forward(self, z, t, *, x_prev=None, known=None, token_posterior=None):
        self.calls.append({"z": z, "t": t, "x_prev": x_prev, "known": known, "token_posterior": token_posterior})
        x_prev = torch.zeros_like(z) if x_prev is None else x_prev
        known = torch.zeros_like(z[:, :1]) if known is None else known
        token_posterior = torch.zeros_like(z) if token_posterior is None else token_posterior
        time = t[:, None, None, None].expand_as(known)
        return self.mix(torch.cat([z, x_prev, known, token_posterior, time], 1)).float()


@pytest.fixture
def network():
    return Mixer()
