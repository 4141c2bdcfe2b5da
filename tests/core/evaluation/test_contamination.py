"""Held-out documents that are in the training text raise an error that names them."""

import random

import pytest

from jitkit.errors import InputError
from jitkit.evaluation.contamination import refuse_contamination


def letters(seed, length=2000):
    return "".join(random.Random(seed).choices("abcdefghij ", k=length))


def test_an_error_names_the_copy():
    training = [letters(1), "Call me Ishmael. " + letters(2), letters(3)]
    with pytest.raises(InputError, match=r"documents .*: 2 \(100% of it in training document 2, 'Call me Ishmael"):
        refuse_contamination([letters(9), training[1][200:900]], training, file="novel.txt")


def test_a_mostly_new_document_is_accepted():
    training = [letters(1)]
    refuse_contamination([letters(1)[:400] + letters(2)[:1000]], training, file="novel.txt")
    with pytest.raises(InputError, match=r"1 \(\d\d% of it in training document 1"):
        refuse_contamination([letters(1)[:1000] + letters(2)[:400]], training, file="novel.txt")


def test_short_and_missing_documents_are_accepted():
    refuse_contamination(["the same words"], ["the same words"], file="novel.txt")
    refuse_contamination([], ["text " * 100], file="novel.txt")
    refuse_contamination([letters(1)], [], file="novel.txt")
