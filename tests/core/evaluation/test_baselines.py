"""Texts that no model wrote are what their names say."""

from itertools import pairwise

import torch

from jitkit.evaluation.baselines import PERIOD, baseline_texts
from jitkit.evaluation.ngrams import NGrams

TRAINING = " ".join(f"{number:05d}" for number in range(20_000))


def controls(lengths, first=0):
    generators = [torch.Generator().manual_seed(first + index) for index in range(len(lengths))]
    return baseline_texts(TRAINING, NGrams(TRAINING), lengths, generators)


def test_each_has_the_length_that_is_asked_for():
    lengths = [400, 1, 0, 37]
    for texts in controls(lengths).values():
        assert list(map(len, texts)) == lengths


def test_shuffled_words_are_those_of_a_stretch_in_another_order():
    (text,) = controls([600])["shuffled words"]
    words = [word for word in text.split() if len(word) == 5]
    assert len(words) > 95
    assert len(set(words)) == len(words)
    assert int(max(words)) - int(min(words)) == len(words) - 1
    rising = sum(one < other for one, other in pairwise(words))
    assert 0.3 < rising / len(words) < 0.7


def test_periodic_text_is_a_phrase_of_the_training_text_over_and_over():
    long, short = controls([1000, 40])["periodic"]
    for text, period in ((long, PERIOD), (short, 10)):
        assert text[:period] in TRAINING
        assert all(text[place] == text[place % period] for place in range(len(text)))


def test_unigram_and_6_gram_text_follow_the_training_text():
    found = controls([6000])
    assert abs(found["unigram"][0].count(" ") / 6000 - TRAINING.count(" ") / len(TRAINING)) < 0.02
    assert sum(found["unigram"][0][place : place + 6] in TRAINING for place in range(0, 6000, 6)) < 200
    assert sum(found["6-gram"][0][place : place + 6] in TRAINING for place in range(0, 6000, 6)) > 900


def test_a_text_follows_from_its_own_generator():
    assert all(texts[1] == controls([9, 80], first=4)[name][1] for name, texts in controls([333, 80], first=4).items())
