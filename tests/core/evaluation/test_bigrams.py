"""A table of pairs reads noise as the exact posterior of a Markov chain does."""

import itertools

import pytest
import torch

from jitkit.evaluation import bigrams
from jitkit.evaluation.bigrams import Bigrams

IDS = torch.tensor([0, 1, 2, 0, 1, 1, 2, 0, 1, 2, 2, 0, 3, 0, 1])


def test_probabilities_add_up_to_one_and_fall_back_on_single_tokens():
    pairs = Bigrams(IDS, 6)
    every = torch.arange(6)
    assert pairs.after(every[:, None], every).sum(1).tolist() == pytest.approx([1.0] * 6)
    assert torch.equal(pairs.after(torch.tensor(5), every), pairs.single)  # never followed by anything
    # 0 is followed by 1 four times and by 3 once: two kinds
    assert pairs.after(torch.tensor(0), torch.tensor(1)).item() == pytest.approx(
        (4 + 2 * pairs.single[1].item()) / (5 + 2)
    )


@pytest.mark.parametrize("dense", [True, False])
def test_the_reading_is_the_largest_marginal_of_all_texts(dense, monkeypatch):
    monkeypatch.setattr(bigrams, "MOST_STATES", 512 if dense else 1)
    monkeypatch.setattr(bigrams, "CANDIDATES", 6)
    pairs = Bigrams(IDS, 6)
    logits = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
    for row, found in zip(logits.double(), pairs.read(logits), strict=True):
        marginals = torch.zeros(4, 6, dtype=torch.float64)
        for text in itertools.product(range(6), repeat=4):
            ids = torch.tensor(text)
            odds = pairs.single[ids[0]] * pairs.after(ids[:-1], ids[1:]).prod() * row[range(4), ids].exp().prod()
            marginals[range(4), ids] += odds
        assert torch.equal(marginals.argmax(1), found)


def test_what_is_certain_is_read_whatever_the_pairs_say():
    logits = torch.full((1, 3, 6), -1e4)
    logits[0, range(3), [5, 4, 5]] = 0
    assert Bigrams(IDS, 6).read(logits).tolist() == [[5, 4, 5]]
