import pytest
import torch
from torch.nn import functional as F

from jitkit.diffusion.context_free import context_free_logits
from jitkit.diffusion.process import interpolate, levels_at
from jitkit.protocols import Noised
from jitkit.testing.toys import Straight
from jitkit_plugins.codecs.bits import Bits
from jitkit_plugins.objectives import token_entropy as module
from jitkit_plugins.objectives.codeword import Codeword
from jitkit_plugins.objectives.token_entropy import token_entropy

CODEC, PATH = Bits().build(11, 8, 4), Straight()  # 4 bits a token: two pixels, 8 tokens a patch
IMAGES = 5
CONTEXT = {"schedule": PATH, "codec": CODEC}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(CODEC.vocab_size, (IMAGES, CODEC.capacity), generator=generator)
    x, t = CODEC.encode(tokens), torch.linspace(0.1, 0.9, IMAGES)
    noise = torch.randn(x.shape, generator=generator)
    return Noised(tokens, x, noise, t, interpolate(x, noise, levels_at(PATH, t)))


@pytest.fixture
def said():
    numbers = torch.randn(IMAGES, CODEC.capacity, 12, generator=torch.Generator().manual_seed(1))  # one is spare
    return numbers.requires_grad_()


@pytest.fixture(params=[0.4, 1, 2, 100], ids=["part", "one", "two", "all"])
def at_once(request, monkeypatch):
    """So many images pass through together."""
    monkeypatch.setattr(module, "CPU_CHUNK", int(request.param * CODEC.capacity * CODEC.vocab_size))


def plainly(said, batch):
    logits = context_free_logits(batch.z, batch.t, **CONTEXT) + said[:, :, : CODEC.vocab_size].float()
    return F.cross_entropy(logits.transpose(1, 2), batch.tokens, reduction="none")


@pytest.mark.usefixtures("at_once")
def test_values_and_gradients_are_those_of_cross_entropy(batch, said):
    weights = torch.randn(IMAGES, CODEC.capacity)
    losses = [entropy(said, batch) for entropy in (plainly, lambda *a: token_entropy(*a, **CONTEXT))]
    assert torch.allclose(*losses, atol=1e-6)
    gradients = [torch.autograd.grad((loss * weights).sum(), said)[0] for loss in losses]
    assert torch.allclose(*gradients, atol=1e-6)
    assert not gradients[1][:, :, CODEC.vocab_size :].any()


@pytest.mark.usefixtures("at_once")
def test_numbers_in_bfloat16_are_added_in_float32(batch, said):
    half = said.detach().bfloat16().requires_grad_()
    losses = token_entropy(half, batch, **CONTEXT)
    assert losses.dtype == torch.float32
    assert torch.allclose(losses, plainly(half.float(), batch), atol=1e-6)
    exact = torch.autograd.grad(plainly(wide := half.detach().float().requires_grad_(), batch).sum(), wide)[0]
    (gradient,) = torch.autograd.grad(losses.sum(), half)
    assert gradient.dtype == torch.bfloat16
    assert torch.allclose(gradient.float(), exact, atol=2**-8)


@pytest.mark.usefixtures("at_once")
def test_estimates_and_losses_do_not_depend_on_how_many_pass_through_together(batch):
    objective = Codeword(context="token", temperature=0.7)
    raw = torch.randn(IMAGES, objective.channels(CODEC), 8, 8, generator=torch.Generator().manual_seed(2))
    for row in range(IMAGES):
        one = slice(row, row + 1)
        alone = objective.estimate(raw[one], batch.z[one], batch.t[one], **CONTEXT)
        assert torch.allclose(objective.estimate(raw, batch.z, batch.t, **CONTEXT)[one], alone, atol=1e-6)
        alone = objective.loss(raw[one], batch.rows(one), **CONTEXT)
        assert torch.allclose(objective.loss(raw, batch, **CONTEXT)[one], alone, atol=1e-6)


def test_a_gradient_is_asked_for_once(batch, said):
    loss = token_entropy(said, batch, **CONTEXT).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_without_gradient_none_is_kept(batch, said):
    with torch.no_grad():
        losses = token_entropy(said, batch, **CONTEXT)
    assert torch.allclose(losses, plainly(said, batch), atol=1e-6)
