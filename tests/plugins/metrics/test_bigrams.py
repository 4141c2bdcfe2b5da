"""The bigram model computes the exact posterior of a Markov chain."""

import itertools

import pytest
import torch

from jitkit_plugins.metrics import bigrams
from jitkit_plugins.metrics.bigrams import BigramModel

IDS = torch.tensor([0, 1, 2, 0, 1, 1, 2, 0, 1, 2, 2, 0, 3, 0, 1])


def test_probabilities_sum_to_one_and_fall_back_to_unigrams():
    model = BigramModel(IDS, 6)
    every = torch.arange(6)
    assert model.conditional(every[:, None], every).sum(1).tolist() == pytest.approx([1.0] * 6)
    assert torch.equal(model.conditional(torch.tensor(5), every), model.unigram)  # has no successor
    # 0 is followed by 1 four times and by 3 once: two types
    assert model.conditional(torch.tensor(0), torch.tensor(1)).item() == pytest.approx(
        (4 + 2 * model.unigram[1].item()) / (5 + 2)
    )


@pytest.mark.parametrize("dense", [True, False])
def test_decoded_tokens_have_the_largest_marginal_over_all_texts(dense, monkeypatch):
    monkeypatch.setattr(bigrams, "MAX_STATES", 512 if dense else 1)
    monkeypatch.setattr(bigrams, "CANDIDATES", 6)
    model = BigramModel(IDS, 6)
    logits = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    for row, found in zip(logits.double(), model.decode(logits), strict=True):
        marginals = torch.zeros(4, 6, dtype=torch.float64)
        for text in itertools.product(range(6), repeat=4):
            ids = torch.tensor(text)
            odds = model.unigram[ids[0]] * model.conditional(ids[:-1], ids[1:]).prod() * row[range(4), ids].exp().prod()
            marginals[range(4), ids] += odds
        assert torch.equal(marginals.argmax(1), found)


def test_certain_tokens_are_decoded_whatever_the_bigrams():
    logits = torch.full((1, 3, 6), -1e4)
    logits[0, range(3), [5, 4, 5]] = 0
    assert BigramModel(IDS, 6).decode(logits).tolist() == [[5, 4, 5]]
