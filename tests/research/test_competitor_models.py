"""The token models on small distributions whose probabilities are known exactly."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from jitkit_plugins.backbones.jit import JitSettings
from research.competitors.autoregressive import Autoregressive
from research.competitors.equal_entropy import ScoredSetting, bits_at_entropy
from research.competitors.masked import Masked, bound, fill
from research.competitors.trunk import draw, generators_of
from research.ngram_score import NgramScorer

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


def randomized(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model with random weights."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


# ------------------------------------------------------------------------------------------ autoregressive


@torch.no_grad()
def test_a_prediction_depends_on_earlier_tokens_only() -> None:
    model = randomized(Autoregressive(SETTINGS, vocab_size=11, length=9))
    tokens = torch.randint(11, (2, 9))
    logits = model(tokens)
    for place in range(9):
        changed = tokens.clone()
        changed[:, place] = (changed[:, place] + 1) % 11
        again = model(changed)
        torch.testing.assert_close(again[:, : place + 1], logits[:, : place + 1])  # its own prediction included
        for later in range(place + 1, 9):
            assert not torch.allclose(again[:, later], logits[:, later])


@torch.no_grad()
def test_cached_generation_matches_one_pass_over_the_whole_text() -> None:
    """Greedy tokens from cached keys equal those from the whole text, and the cache is emptied afterwards."""
    model = randomized(Autoregressive(SETTINGS, vocab_size=11, length=9))
    tokens = model.generate([1, 2, 3], temperature=0)
    assert tokens.unique(dim=0).shape == (1, 9)
    assert torch.equal(model(tokens).argmax(-1), tokens)
    with model._cache(2):
        steps = [
            model._next(before[:, None], place)
            for place, before in enumerate([torch.tensor([11, 11]), *tokens[:2].T[:-1]])
        ]
    torch.testing.assert_close(torch.cat(steps, dim=1), model(tokens[:2]))


def test_the_loss_on_a_markov_chain_converges_to_its_entropy_rate() -> None:
    """Two states that flip with probability .1: 1 bit for the first token, h(.1) for each other."""
    torch.manual_seed(0)
    model = Autoregressive(SETTINGS.model_copy(update={"depth": 1}), vocab_size=2, length=8)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)

    def chains(num: int) -> Tensor:
        first = torch.rand(num, 1, generator=generator) < 0.5
        flips = torch.rand(num, 7, generator=generator) < 0.1
        return torch.cat((first, flips), dim=1).cumsum(1) % 2

    assert model.loss(chains(4), generator).tolist() == pytest.approx(
        [math.log(2)] * 4
    )  # a new model predicts uniformly
    for _ in range(100):
        optimizer.zero_grad()
        model.loss(chains(64), generator).mean().backward()
        optimizer.step()
    rate = -(0.1 * math.log(0.1) + 0.9 * math.log(0.9))
    expected = (math.log(2) + 7 * rate) / 8
    assert model.loss(chains(2048), generator).mean().item() == pytest.approx(expected, rel=0.03)


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
    model = Masked(SETTINGS, vocab_size=11, length=16)
    losses = model.loss(torch.randint(11, (4096, 16)), torch.Generator().manual_seed(0))
    error = losses.std().item() / math.sqrt(len(losses))
    assert losses.mean().item() == pytest.approx(math.log(11), abs=4 * error)
    assert error < 0.05


@pytest.mark.parametrize("order", ["random", "confidence"])
def test_the_oracle_samples_the_distribution(order: str) -> None:
    """One call per token in random order is exact. Order of confidence is biased."""
    empty = torch.full((8_000, L), MASK)
    texts = fill(oracle, empty, range(len(empty)), evaluations=L, temperature=1.0, order=order)
    found = torch.bincount((texts * torch.tensor([9, 3, 1])).sum(1), minlength=27) / len(texts)
    distance = (found - JOINT).abs().sum().item() / 2
    expected = 0.5 * (JOINT * (1 - JOINT) / len(texts)).sqrt().sum().item()  # for this number of draws, approximately
    assert (distance < 2 * expected) == (order == "random")


def test_a_single_call_samples_tokens_independently() -> None:
    """In one call every token is drawn from its own marginal."""
    empty = torch.full((8_000, L), MASK)
    texts = fill(oracle, empty, range(len(empty)), evaluations=1, temperature=1.0, order="random")
    marginals = oracle(empty[:1])[0].exp()
    independent = torch.stack([marginals[place, EVERY_TEXT[:, place]] for place in range(L)]).prod(0)
    found = torch.bincount((texts * torch.tensor([9, 3, 1])).sum(1), minlength=27) / len(texts)
    assert (found - independent).abs().max() < 0.02
    assert (JOINT - independent).abs().max() > 0.03


@pytest.mark.parametrize("order", ["random", "confidence"])
@pytest.mark.parametrize("evaluations", [1, 4, 9, 30])
def test_visible_tokens_stay_and_every_mask_is_filled(order: str, evaluations: int) -> None:
    model = randomized(Masked(SETTINGS, vocab_size=11, length=9))
    tokens = torch.randint(11, (6, 9))
    hidden = torch.rand(6, 9) < torch.linspace(0, 1, 6)[:, None]
    with torch.no_grad():
        filled = fill(
            model, tokens.masked_fill(hidden, 11), range(6), evaluations=evaluations, temperature=1.0, order=order
        )
    assert torch.equal(filled[~hidden], tokens[~hidden])
    assert (filled < 11).all()
    infilled = model.infill(tokens, hidden, evaluations)
    assert torch.equal(infilled[~hidden], tokens[~hidden])
    assert (infilled < 11).all()


def test_a_text_depends_on_its_own_seed_only() -> None:
    for model, options in (
        (Masked(SETTINGS, 11, 9), {"evaluations": 4, "order": "random"}),
        (Masked(SETTINGS, 11, 9), {"evaluations": 4, "order": "confidence"}),
        (Autoregressive(SETTINGS, 11, 9), {}),
    ):
        texts = randomized(model).generate([3, 4, 5], **options)
        assert torch.equal(model.generate([4], **options)[0], texts[1])
        assert not torch.equal(texts[0], texts[1])


def test_both_token_models_have_the_same_parameters() -> None:
    shapes = [
        {name: value.shape for name, value in kind(SETTINGS, 11, 9).named_parameters()}
        for kind in (Masked, Autoregressive)
    ]
    assert shapes[0] == shapes[1]


# ------------------------------------------------------------------------------------------------ drawing


def test_temperature_sharpens_the_draw() -> None:
    """At temperature T an id has probability proportional to p^(1/T)."""
    logits = torch.tensor([0.2, 0.3, 0.5]).log().expand(1, 40_000, 3)
    for temperature in (1.0, 0.5):
        found = torch.bincount(draw(logits, temperature, generators_of([7]))[0], minlength=3) / 40_000
        expected = (logits[0, 0] / temperature).softmax(0)
        torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    assert (draw(logits, 0, generators_of([7])) == 2).all()


# ------------------------------------------------------------------------------------------ equal entropy


def test_bits_are_interpolated_between_settings_and_not_extrapolated() -> None:
    points = [ScoredSetting(4.2, 6.0), ScoredSetting(4.0, 5.0), ScoredSetting(3.8, 4.8)]
    assert bits_at_entropy(points, 4.1) == pytest.approx(5.5)
    assert bits_at_entropy(points, 4.0) == 5.0
    assert bits_at_entropy(points, 4.2) == 6.0
    assert bits_at_entropy(points, 4.21) is None
    assert bits_at_entropy(points, 3.79) is None
    assert bits_at_entropy([], 4.0) is None


def test_a_dominated_setting_changes_nothing() -> None:
    points = [ScoredSetting(4.2, 6.0), ScoredSetting(4.0, 5.0)]
    assert bits_at_entropy([*points, ScoredSetting(4.1, 7.0), ScoredSetting(4.0, 5.5)], 4.1) == bits_at_entropy(
        points, 4.1
    )
    assert bits_at_entropy([*points, ScoredSetting(4.1, 5.1)], 4.1) == 5.1


def test_mixed_texts_have_the_interpolated_scores() -> None:
    """A third of the texts from one setting and the rest from another reach the interpolated point."""
    scorer = NgramScorer("to be or not to be, that is the question: " * 20)
    varied = ["the quality of mercy", "is not strained, oh", "what light through i", "yonder window breaks"] * 3
    dull = ["to be to be to be to"] * 12
    points = []
    for texts in (varied, dull, varied[:4] + dull[:8]):
        scores = scorer(texts)
        points.append(ScoredSetting(scores["entropy"], scores["ngram_bits_per_character"]))
    *ends, mixture = points
    assert bits_at_entropy(ends, mixture.entropy) == pytest.approx(mixture.bits, abs=0.005)
