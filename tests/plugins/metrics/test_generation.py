"""Generated texts are judged beside held-out text, and texts that no model wrote are not taken for it."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jitkit.errors import InputError
from jitkit.evaluation.ngrams import NGrams
from jitkit.evaluation.texts import is_utf8
from jitkit.files import Files
from jitkit.testing import parametrize_laws
from jitkit.testing.oracle import oracle_subject, tiny_pipeline, tiny_windows
from jitkit_plugins.metrics.compared_texts import Sample
from jitkit_plugins.metrics.generation import Generation
from jitkit_plugins.metrics.generation_statistics import Judge, statistics
from jitkit_plugins.sources.python_docs import PythonDocsSource


@parametrize_laws("metrics", Generation())
def test_laws(law):
    law()


TRAINING = "the quick brown fox jumps over the lazy dog and the dog sleeps"
JUDGE = Judge(TRAINING, NGrams(TRAINING))


def numbers_of(*texts, ends=True):
    samples = [Sample(text, list(text.encode()), text.encode(), ended=len(text) < 20) for text in texts]
    return statistics(samples, JUDGE, seed=0, ends=ends)


def test_numbers_of_texts_that_can_be_counted_by_hand():
    found = numbers_of("xx the dog cat xx", "xx the dog cat xx" * 2)
    assert found["entropy"] == pytest.approx(entropy("xx the dog cat xx", "xx the dog cat xx" * 2))
    assert found["known_words"] == 6 / 10  # the dog cat; the dog cat xxxx the dog cat
    assert found["distinct"] == 4 / 8  # the dog, dog cat, cat xxxx, xxxx the; of 2 pairs and 6
    assert found["repeated"] == pytest.approx(1 - 17 / (6 + 23))
    assert (found["characters"], found["ended"], found["invalid"]) == (25.5, 0.5, 0.0)
    assert (found["copied"], found["most_copied"]) == (len(" the dog "), len(" the dog "))
    assert found["samples"] == 2
    assert found["judge_bits"] == pytest.approx(
        sum(JUDGE.ngrams.bits("xx the dog cat xx" * n)[6:].mean() for n in (1, 2)) / 2
    )


def entropy(*texts):
    def of(text):
        shares = [text.count(c) / len(text) for c in set(text)]
        return -sum(p * math.log(p) for p in shares)

    return sum(map(of, texts)) / len(texts)


def test_what_cannot_be_measured_is_left_out():
    assert set(numbers_of("", "")) == {
        *("compressed", "characters", "characters_low", "characters_high", "samples"),
        *("copied", "copied_low", "copied_high", "most_copied"),
        *("ended", "ended_low", "ended_high", "invalid", "invalid_low", "invalid_high"),
    }
    assert "ended" not in numbers_of("abc", ends=False)


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        (b"", True),
        ("中文".encode(), True),
        ("中文".encode()[1:-1], True),  # a window cut the characters at its ends
        (b"a\xff", False),
        (b"a\x80", False),
        (b"\x80\x80\x80\x80", False),
        (b"\xc3a", False),
    ],
)
def test_utf8_with_cut_ends(data, valid):
    assert is_utf8(data) == valid


# ----------------------------------------------------------------------------------------- naive controls


def python_docs(split):
    source = PythonDocsSource().build(Files(Path()))
    return "".join(source.documents(split))


def test_every_control_loses_in_some_column_and_some_win_in_one():
    """Held-out text is the standard: on single columns it is beaten, on the whole table it is not."""
    training, held_out = python_docs("train")[:300_000], python_docs("validation")
    pipeline = tiny_pipeline()
    starts = range(0, len(held_out) - 100, len(held_out) // 200)
    ids = [pipeline.tokenizer.encode(held_out[i : i + 100])[: pipeline.codec.capacity] for i in starts]
    subject = replace(oracle_subject(torch.tensor(ids), batch_size=64), documents=lambda: [training])
    model, real, *controls = Generation().measure(subject)
    assert [row["text"] for row in controls] == ["shuffled words", "unigram", "6-gram", "periodic"]
    for row in controls:
        assert lost(row, real), row["text"]
    by_name = {row["text"]: row for row in controls}
    assert by_name["6-gram"]["judge_bits"] < real["judge_bits"]
    assert by_name["shuffled words"]["entropy"] == pytest.approx(real["entropy"], rel=0.05)
    assert by_name["unigram"]["repeated"] < real["repeated"]
    assert by_name["unigram"]["copied"] < real["copied_low"]
    assert model["text"] == "model"


def lost(row, real):
    """Return the columns in which a row is plainly off held-out text: intervals apart, or a fifth off without one."""
    columns = []
    for key in ("judge_bits", "entropy", "known_words", "copied"):
        if row[f"{key}_low"] > real[f"{key}_high"] or row[f"{key}_high"] < real[f"{key}_low"]:
            columns.append(key)
    return columns + [key for key in ("repeated", "distinct") if abs(row[key] - real[key]) > 0.2]


def test_without_training_text_it_says_what_it_needs():
    with pytest.raises(InputError, match="no training text"):
        Generation().measure(replace(oracle_subject(tiny_windows()), documents=None))
