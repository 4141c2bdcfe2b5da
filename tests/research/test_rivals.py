"""The rivals against what is known exactly: small distributions, of which every probability can be written down."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from jitkit_plugins.backbones.jit import JitSettings
from research.rivals.autoregressive import Autoregressive
from research.rivals.frontier import Point, bits_at
from research.rivals.masked import Masked, bound, fill
from research.rivals.trunk import draw, generators_of

SETTINGS = JitSettings(image_size=8, patch_size=4, embed_dim=32, depth=2, num_heads=2)
V, L, MASK = 3, 3, 3
EVERY_TEXT = torch.tensor(list(product(range(V), repeat=L)))  # [27, 3]
JOINT = torch.rand(len(EVERY_TEXT), generator=torch.Generator().manual_seed(5), dtype=torch.float64) ** 3
JOINT /= JOINT.sum()


def oracle(tokens: Tensor) -> Tensor:
    """Return log p(x_i | visible) [B, L, V] under JOINT."""
    agrees = ((tokens[:, None] == EVERY_TEXT) | (tokens[:, None] == MASK)).all(2)  # [B, 27]
    weight = agrees * JOINT
    one_hot = torch.nn.functional.one_hot(EVERY_TEXT, V).double()
    return (weight @ one_hot.flatten(1)).unflatten(1, (L, V)).div(weight.sum(1)[:, None, None]).log()


def noisy(rival: torch.nn.Module) -> torch.nn.Module:
    """Return the rival with weights that say something."""
    torch.manual_seed(1)
    for parameter in rival.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return rival.eval()


# ------------------------------------------------------------------------------------------ autoregressive


@torch.no_grad()
def test_a_token_says_nothing_of_those_before_it() -> None:
    rival = noisy(Autoregressive(SETTINGS, vocab_size=11, length=9))
    tokens = torch.randint(11, (2, 9))
    logits = rival(tokens)
    for place in range(9):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % 11
        again = rival(changed)
        torch.testing.assert_close(again[:, : place + 1], logits[:, : place + 1])  # its own prediction included
        for later in range(place + 1, 9):
            assert not torch.allclose(again[:, later], logits[:, later])


@torch.no_grad()
def test_writing_with_memory_is_reading_all_at_once() -> None:
    """The likeliest token at every place, by remembered keys, is the one the whole text gives; then memory is gone."""
    rival = noisy(Autoregressive(SETTINGS, vocab_size=11, length=9))
    written = rival.write([1, 2, 3], temperature=0)
    assert written.unique(dim=0).shape == (1, 9)
    assert torch.equal(rival(written).argmax(-1), written)
    with rival._writing(2):
        steps = [
            rival._next(before[:, None], place)
            for place, before in enumerate([torch.tensor([11, 11]), *written[:2].T[:-1]])
        ]
    torch.testing.assert_close(torch.cat(steps, dim=1), rival(written[:2]))


def test_its_loss_on_a_markov_chain_comes_to_the_entropy_rate() -> None:
    """Two states that flip with probability .1: 1 bit for the first token, h(.1) for each other."""
    torch.manual_seed(0)
    rival = Autoregressive(SETTINGS.model_copy(update={"depth": 1}), vocab_size=2, length=8)
    optimizer = torch.optim.AdamW(rival.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)

    def chains(num: int) -> Tensor:
        first = torch.rand(num, 1, generator=generator) < 0.5
        flips = torch.rand(num, 7, generator=generator) < 0.1
        return torch.cat((first, flips), dim=1).cumsum(1) % 2

    assert rival.loss(chains(4), generator).tolist() == pytest.approx([math.log(2)] * 4)  # a new one knows nothing
    for _ in range(100):
        optimizer.zero_grad()
        rival.loss(chains(64), generator).mean().backward()
        optimizer.step()
    rate = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    expected = (math.log(2) + 7 * rate) / 8
    assert rival.loss(chains(2048), generator).mean().item() == pytest.approx(expected, rel=0.03)


# -------------------------------------------------------------------------------------------------- masked


def test_the_bound_of_the_oracle_is_the_entropy() -> None:
    """Integrated over the share (Gauss-Legendre, exact for polynomials) and summed over every text and every mask."""
    shares, weights = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(4))
    total = 0.0
    for share, weight in zip((shares + 1) / 2, weights / 2, strict=True):
        for mask in product([False, True], repeat=L):
            hidden = torch.tensor(mask).expand(len(EVERY_TEXT), L)
            probability = math.prod(share.item() if part else 1 - share.item() for part in mask)
            logits = oracle(EVERY_TEXT.masked_fill(hidden, MASK))
            losses = bound(logits, EVERY_TEXT, hidden, share.expand(len(EVERY_TEXT)))
            total += weight.item() * probability * (JOINT * losses).sum().item() * L
    assert total == pytest.approx(-(JOINT * JOINT.log()).sum().item(), rel=1e-9)


def test_the_training_loss_is_an_unbiased_estimate_of_the_bound() -> None:
    """A new network gives every id the same probability, at any share: log V nats a token, on average."""
    rival = Masked(SETTINGS, vocab_size=11, length=16)
    losses = rival.loss(torch.randint(11, (4096, 16)), torch.Generator().manual_seed(0))
    error = losses.std().item() / math.sqrt(len(losses))
    assert losses.mean().item() == pytest.approx(math.log(11), abs=4 * error)
    assert error < 0.05


@pytest.mark.parametrize("order", ["random", "confidence"])
def test_the_oracle_writes_the_distribution(order: str) -> None:
    """With a call a token, in random order: exactly. In order of confidence the sure are written first, which is biased."""
    empty = torch.full((8_000, L), MASK)
    texts = fill(oracle, empty, range(len(empty)), evaluations=L, temperature=1.0, order=order)
    found = torch.bincount((texts * torch.tensor([9, 3, 1])).sum(1), minlength=27) / len(texts)
    distance = (found - JOINT).abs().sum().item() / 2
    expected = 0.5 * (JOINT * (1 - JOINT) / len(texts)).sqrt().sum().item()  # of so many draws, about
    assert (distance < 2 * expected) == (order == "random")


def test_fewer_calls_know_less() -> None:
    """In one call every token is drawn from its own marginal, whatever the others become."""
    empty = torch.full((8_000, L), MASK)
    texts = fill(oracle, empty, range(len(empty)), evaluations=1, temperature=1.0, order="random")
    marginals = oracle(empty[:1])[0].exp()
    independent = torch.stack([marginals[place, EVERY_TEXT[:, place]] for place in range(L)]).prod(0)
    found = torch.bincount((texts * torch.tensor([9, 3, 1])).sum(1), minlength=27) / len(texts)
    assert (found - independent).abs().max() < 0.02
    assert (JOINT - independent).abs().max() > 0.03


@pytest.mark.parametrize("order", ["random", "confidence"])
@pytest.mark.parametrize("evaluations", [1, 4, 9, 30])
def test_what_is_visible_stays_and_no_mask_is_left(order: str, evaluations: int) -> None:
    rival = noisy(Masked(SETTINGS, vocab_size=11, length=9))
    tokens = torch.randint(11, (6, 9))
    hidden = torch.rand(6, 9) < torch.linspace(0, 1, 6)[:, None]
    with torch.no_grad():
        filled = fill(
            rival, tokens.masked_fill(hidden, 11), range(6), evaluations=evaluations, temperature=1.0, order=order
        )
    assert torch.equal(filled[~hidden], tokens[~hidden])
    assert (filled < 11).all()
    infilled = rival.infill(tokens, hidden, evaluations)
    assert torch.equal(infilled[~hidden], tokens[~hidden])
    assert (infilled < 11).all()


def test_a_text_depends_on_its_own_seed_only() -> None:
    for rival, options in (
        (Masked(SETTINGS, 11, 9), {"evaluations": 4, "order": "random"}),
        (Masked(SETTINGS, 11, 9), {"evaluations": 4, "order": "confidence"}),
        (Autoregressive(SETTINGS, 11, 9), {}),
    ):
        texts = noisy(rival).write([3, 4, 5], **options)
        assert torch.equal(rival.write([4], **options)[0], texts[1])
        assert not torch.equal(texts[0], texts[1])


def test_both_have_the_same_parameters() -> None:
    shapes = [
        {name: value.shape for name, value in kind(SETTINGS, 11, 9).named_parameters()}
        for kind in (Masked, Autoregressive)
    ]
    assert shapes[0] == shapes[1]


# ------------------------------------------------------------------------------------------------ drawing


def test_temperature_sharpens_the_draw() -> None:
    """At temperature T an id comes as often as p^(1/T), scaled, says."""
    logits = torch.tensor([0.2, 0.3, 0.5]).log().expand(1, 40_000, 3)
    for temperature in (1.0, 0.5):
        found = torch.bincount(draw(logits, temperature, generators_of([7]))[0], minlength=3) / 40_000
        expected = (logits[0, 0] / temperature).softmax(0)
        torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    assert (draw(logits, 0, generators_of([7])) == 2).all()


# ----------------------------------------------------------------------------------------------- frontier


def test_a_frontier_is_read_between_its_points() -> None:
    points = [Point(4.2, 6.0), Point(4.0, 5.0), Point(3.8, 4.8)]
    assert bits_at(points, 4.1) == pytest.approx(5.5)
    assert bits_at(points, 4.0) == 5.0
    assert bits_at(points, 4.2) == 6.0
    assert bits_at(points, 4.21) is None
    assert bits_at(points, 3.79) is None
    assert bits_at([], 4.0) is None


def test_a_setting_that_others_beat_changes_nothing() -> None:
    points = [Point(4.2, 6.0), Point(4.0, 5.0)]
    assert bits_at([*points, Point(4.1, 7.0), Point(4.0, 5.5)], 4.1) == bits_at(points, 4.1)
    assert bits_at([*points, Point(4.1, 5.1)], 4.1) == 5.1


def test_mixed_texts_have_the_mixed_figures() -> None:
    """What the function promises can be had: a third of the texts from one setting, the rest from another."""
    from research.judge import CharacterModel, judged

    model = CharacterModel("to be or not to be, that is the question: " * 20)
    varied = ["the quality of mercy", "is not strained, oh", "what light through i", "yonder window breaks"] * 3
    dull = ["to be to be to be to"] * 12
    points = []
    for texts in (varied, dull, varied[:4] + dull[:8]):
        figures = judged(model, frozenset(), texts)
        points.append(Point(figures["entropy"], figures["judge_bits_per_character"]))
    *ends, mixture = points
    assert bits_at(ends, mixture.entropy) == pytest.approx(mixture.bits, abs=0.005)
