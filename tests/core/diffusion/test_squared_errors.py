"""What schedules learn from: the error of the estimate, whatever the objective, at the pixels that were not given."""

import pytest
import torch

from jitkit.assembly import assemble
from jitkit.diffusion.noising import draw_noised
from jitkit.diffusion.training_pass import squared_errors
from tests.tiny import resolved


@pytest.mark.parametrize(
    "objective", ["{use='flow',prediction='v',known=1.0}", "{use='codeword',context='codeword',known=1.0}"]
)
def test_a_perfect_network_has_no_error_and_given_pixels_carry_none(objective):
    denoiser = assemble(resolved(f"objective={objective}")).denoiser
    tokens = torch.randint(258, (4, denoiser.codec.capacity), generator=torch.Generator().manual_seed(0))
    batch = draw_noised(
        tokens,
        codec=denoiser.codec,
        schedule=denoiser.schedule,
        objective=denoiser.objective,
        generator=torch.Generator().manual_seed(1),
        device="cpu",
    )
    assert batch.known is not None
    oracle = denoiser.objective.oracle(batch, schedule=denoiser.schedule, codec=denoiser.codec)
    assert squared_errors(oracle, denoiser, batch).max() < 1e-6
    assert squared_errors(oracle + 5 * batch.known, denoiser, batch).max() < 1e-6
    assert squared_errors(oracle - 2 * oracle * (1 - batch.known), denoiser, batch).max() > 1e-3


def test_it_is_the_mean_over_the_pixels_that_were_not_given():
    denoiser = assemble(resolved("objective={use='flow',prediction='x',known=1.0}")).denoiser
    tokens = torch.zeros(4, denoiser.codec.capacity, dtype=torch.int64)
    batch = draw_noised(
        tokens,
        codec=denoiser.codec,
        schedule=denoiser.schedule,
        objective=denoiser.objective,
        generator=torch.Generator().manual_seed(1),
        device="cpu",
    )
    assert torch.allclose(squared_errors(batch.x + 3.0, denoiser, batch), torch.full((4,), 9.0))
