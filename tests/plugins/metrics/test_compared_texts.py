"""Baseline texts have the properties that their names promise."""

from itertools import pairwise

import torch

from jitkit_plugins.metrics.compared_texts import PERIOD, baseline_texts
from jitkit_plugins.metrics.ngrams import NGramModel

TRAINING = " ".join(f"{number:05d}" for number in range(20_000))


def baselines(lengths, first=0):
    generators = [torch.Generator().manual_seed(first + index) for index in range(len(lengths))]
    return baseline_texts(TRAINING, NGramModel(TRAINING), lengths, generators)


def test_texts_have_the_given_lengths():
    lengths = [400, 1, 0, 37]
    for texts in baselines(lengths).values():
        assert list(map(len, texts)) == lengths


def test_shuffled_words_are_a_passage_in_another_order():
    (text,) = baselines([600])["shuffled words"]
    words = [word for word in text.split() if len(word) == 5]
    assert len(words) > 95
    assert len(set(words)) == len(words)
    assert int(max(words)) - int(min(words)) == len(words) - 1
    rising = sum(one < other for one, other in pairwise(words))
    assert 0.3 < rising / len(words) < 0.7


def test_periodic_text_repeats_a_phrase_of_the_training_text():
    long, short = baselines([1000, 40])["periodic"]
    for text, period in ((long, PERIOD), (short, 10)):
        assert text[:period] in TRAINING
        assert all(text[place] == text[place % period] for place in range(len(text)))


def test_unigram_and_6_gram_text_follow_the_training_text():
    found = baselines([6000])
    assert abs(found["unigram"][0].count(" ") / 6000 - TRAINING.count(" ") / len(TRAINING)) < 0.02
    assert sum(found["unigram"][0][place : place + 6] in TRAINING for place in range(0, 6000, 6)) < 200
    assert sum(found["6-gram"][0][place : place + 6] in TRAINING for place in range(0, 6000, 6)) > 900


def test_a_text_depends_on_its_own_generator_only():
    assert all(
        texts[1] == baselines([9, 80], first=4)[name][1] for name, texts in baselines([333, 80], first=4).items()
    )
