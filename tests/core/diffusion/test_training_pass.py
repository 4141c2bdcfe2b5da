import pytest
import torch

from jitkit.diffusion.conditioning import draw_known
from jitkit.diffusion.denoiser import Denoiser
from jitkit.diffusion.noising import draw_noised
from jitkit.diffusion.process import interpolate, levels_at
from jitkit.diffusion.self_conditioning import draw_self_conditioning
from jitkit.diffusion.training_pass import diffusion_loss
from jitkit.testing.toys import Arc, toy_codec
from jitkit_plugins.objectives.flow import Flow

CODEC, PATH = toy_codec(), Arc(noise_scale=2.0)
TOKENS = torch.randint(8, (6, CODEC.capacity), generator=torch.Generator().manual_seed(0))


def noised(objective, seed=0):
    return draw_noised(
        TOKENS,
        codec=CODEC,
        schedule=PATH,
        objective=objective,
        generator=torch.Generator().manual_seed(seed),
        device="cpu",
    )


# ---------------------------------------------------------------------------------------- draw_noised


def test_the_fields_of_a_batch_are_consistent():
    batch = noised(Flow(known=0.5), seed=3)
    on_path = interpolate(batch.x, batch.noise, levels_at(PATH, batch.t))
    clean = batch.known.bool().expand_as(batch.x)
    assert torch.equal(batch.x, CODEC.encode(TOKENS))
    assert torch.equal(batch.z[~clean], on_path[~clean])
    assert torch.equal(batch.z[clean], batch.x[clean])
    assert 0 < clean.sum() < clean.numel()


def test_all_randomness_comes_from_the_generator():
    before = torch.get_rng_state()
    first, again, other = (noised(Flow(known=0.5), seed) for seed in (1, 1, 2))
    for name in ("t", "noise", "z", "known"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))
    assert torch.equal(before, torch.get_rng_state())


def test_noise_has_the_scale_of_the_schedule():
    tokens = TOKENS.repeat(200, 1)
    batch = draw_noised(
        tokens, codec=CODEC, schedule=PATH, objective=Flow(), generator=torch.Generator().manual_seed(0), device="cpu"
    )
    assert batch.noise.std().item() == pytest.approx(2.0, rel=0.02)
    assert batch.known is None


# ----------------------------------------------------------------------------------------- draw_known


@pytest.mark.parametrize("length", [2, 3, 16, 100])
def test_known_tokens_are_prefixes_or_spans_and_never_all(length):
    num = 8000
    known = draw_known(num, length, 0.75, torch.Generator().manual_seed(0))
    count = known.sum(1)
    assert known.shape == (num, length)
    assert count.max() < length
    assert (count > 0).double().mean().item() == pytest.approx(0.75, abs=0.03)
    some = known[count > 0]
    changes = (some[:, 1:] != some[:, :-1]).sum(1)
    prefixes = some[(changes == 1) & some[:, 0]]
    assert len(prefixes) / len(some) >= 0.45
    assert prefixes.sum(1).double().mean().item() == pytest.approx(length / 2, rel=0.06)  # any length is as likely
    assert set(prefixes.sum(1).tolist()) == set(range(1, length))
    if length > 10:
        assert set(changes.tolist()) == {1, 2, 3, 4}
        assert (~some[:, 0]).any()  # and holes at the beginning


@pytest.mark.parametrize(("probability", "length"), [(0.0, 16), (1.0, 1)])
def test_nothing_is_known_without_probability_or_without_room(probability, length):
    assert not draw_known(100, length, probability, torch.Generator().manual_seed(0)).any()


def test_probability_one_always_gives_something():
    assert draw_known(1000, 16, 1.0, torch.Generator().manual_seed(0)).any(1).all()


# ------------------------------------------------------------------------------------- diffusion_loss


def denoiser_of(network, **options):
    return Denoiser(network, PATH, Flow(**options), CODEC)


@pytest.mark.parametrize("probability", [0.3, 0.5, 1.0])
def test_every_image_is_conditioned_with_the_probability(probability):
    generator, objective = torch.Generator().manual_seed(0), Flow(self_conditioning=probability)
    coins = torch.stack([draw_self_conditioning(7, objective=objective, generator=generator) for _ in range(4000)])
    assert (coins.double().mean(0) - probability).abs().max() < 0.04  # 5 standard errors


@pytest.mark.parametrize(("num", "part"), [(64, 64), (64, 16), (6, 2)])
def test_every_chunk_of_a_batch_has_a_first_pass_of_one_size(num, part):
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        coins = draw_self_conditioning(num, objective=Flow(self_conditioning=0.5), generator=generator)
        assert {chunk.sum().item() for chunk in coins.split(part)} == {part // 2}


def test_without_self_conditioning_nothing_is_drawn():
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert draw_self_conditioning(8, objective=Flow(), generator=generator) is None
    assert torch.equal(before, generator.get_state())


def test_without_self_conditioning_the_network_runs_once(network):
    denoiser = denoiser_of(network)
    batch = noised(denoiser.objective)
    losses = diffusion_loss(denoiser, batch, condition=None)
    raw = network(batch.z, batch.t)
    assert torch.equal(losses, denoiser.objective.loss(raw, batch, schedule=PATH, codec=CODEC))
    assert len(network.calls) == 2
    assert network.calls[0]["x_prev"] is None


def test_self_conditioning_shows_the_first_estimate_where_it_was_drawn(network):
    denoiser = denoiser_of(network, self_conditioning=0.5, known=0.5)
    batch = noised(denoiser.objective)
    condition = torch.tensor([True, False, True, False, False, True])
    diffusion_loss(denoiser, batch, condition=condition)
    first, second = network.calls
    assert torch.equal(first["z"], batch.z[condition])  # only these take the first pass
    assert first["x_prev"] is None
    estimate = denoiser.with_known_pixels(batch.x, batch.known)(batch.z, batch.t).detach()
    assert torch.allclose(second["x_prev"][condition], estimate[condition])
    assert (second["x_prev"][~condition] == 0).all()
    assert not second["x_prev"].requires_grad
    assert torch.equal(second["z"], batch.z)


@pytest.mark.parametrize("value", [True, False])
def test_passes_when_all_or_none_are_conditioned(network, value):
    denoiser = denoiser_of(network, self_conditioning=0.5)
    diffusion_loss(denoiser, noised(denoiser.objective), condition=torch.full((6,), value))
    assert len(network.calls) == 1 + value
    assert (network.calls[-1]["x_prev"].abs().sum() > 0) == value


@pytest.mark.parametrize("autocast", [False, True])
def test_the_first_pass_leaves_every_gradient_in_place(network, autocast):
    """Autocast caches cast weights; those of the first pass have no gradient and must not be used in the second."""
    denoiser = denoiser_of(network, self_conditioning=0.5, known=0.5)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        losses = diffusion_loss(denoiser, noised(denoiser.objective), condition=torch.ones(6, dtype=torch.bool))
    assert losses.shape == (6,)
    assert losses.dtype == torch.float32
    losses.mean().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


@torch.no_grad()
def test_the_loss_of_an_image_is_the_same_in_any_batch(network):
    denoiser = denoiser_of(network, self_conditioning=0.5, known=0.5)
    batch, condition = noised(denoiser.objective), torch.arange(6) % 2 == 0
    together = diffusion_loss(denoiser, batch, condition=condition)
    halves = [
        diffusion_loss(
            denoiser,
            type(batch)(*(getattr(batch, name)[part] for name in batch.__dataclass_fields__)),
            condition=condition[part],
        )
        for part in (slice(0, 3), slice(3, 6))
    ]
    assert torch.allclose(torch.cat(halves), together, rtol=1e-5)
