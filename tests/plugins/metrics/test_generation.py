"""Statistics of texts follow their definitions, and no baseline looks like held-out text in all of them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from jitkit.documents.rows import columns_of, differs_from_real, interval_of
from jitkit.errors import InputError
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.texts import is_utf8
from jitkit.files import Files
from jitkit.generated import Generated
from jitkit.storage.picture import Picture
from jitkit.testing.oracle import TINY, oracle_context, tiny_pipeline, tiny_windows
from jitkit_plugins.metrics.compared_texts import Sample
from jitkit_plugins.metrics.generation import Generation, Reference, statistics
from jitkit_plugins.metrics.ngrams import NGramModel
from jitkit_plugins.sources.python_docs import PythonDocsSource

TRAINING = "the quick brown fox jumps over the lazy dog and the dog sleeps"
REFERENCE = Reference(TRAINING, NGramModel(TRAINING))


def numbers_of(*texts, ends=True):
    samples = [Sample(text, list(text.encode()), text.encode(), ended=len(text) < 20) for text in texts]
    return statistics(samples, REFERENCE, seed=0, ends=ends)


def test_statistics_of_small_texts_follow_their_definitions():
    found = numbers_of("xx the dog cat xx", "xx the dog cat xx" * 2)
    assert found["entropy"] == pytest.approx(entropy("xx the dog cat xx", "xx the dog cat xx" * 2))
    assert found["known_words"] == 6 / 10  # the dog cat; the dog cat xxxx the dog cat
    assert found["distinct"] == 4 / 8  # the dog, dog cat, cat xxxx, xxxx the; of 2 pairs and 6
    assert found["repeated"] == pytest.approx(1 - 17 / (6 + 23))
    assert (found["characters"], found["ended"], found["invalid"]) == (25.5, 0.5, 0.0)
    assert (found["copied"], found["most_copied"]) == (len(" the dog "), len(" the dog "))
    assert found["samples"] == 2
    assert found["judge_bits"] == pytest.approx(
        sum(REFERENCE.ngrams.bits("xx the dog cat xx" * n)[6:].mean() for n in (1, 2)) / 2
    )


def entropy(*texts):
    def of(text):
        shares = [text.count(c) / len(text) for c in set(text)]
        return -sum(p * math.log(p) for p in shares)

    return sum(map(of, texts)) / len(texts)


def test_undefined_statistics_are_left_out():
    assert set(numbers_of("", "")) == {
        *("characters", "characters_low", "characters_high", "samples"),
        *("copied", "copied_low", "copied_high", "most_copied"),
        *("ended", "ended_low", "ended_high", "invalid", "invalid_low", "invalid_high"),
    }
    assert "ended" not in numbers_of("abc", ends=False)


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        (b"", True),
        ("中文".encode(), True),
        ("中文".encode()[1:-1], True),  # cut by the ends of a window
        (b"a\xff", False),
        (b"a\x80", False),
        (b"\x80\x80\x80\x80", False),
        (b"\xc3a", False),
    ],
)
def test_utf8_with_cut_ends(data, valid):
    assert is_utf8(data) == valid


# ----------------------------------------------------------------------------------------- baselines


def python_docs(split):
    source = PythonDocsSource().build(Files(Path()))
    return "".join(source.documents(split))


LARGER = TINY.replace("image_size = 8", "image_size = 24")


@pytest.fixture(scope="module")
def rows():
    """Return the rows of `Generation` by name for 200 windows of real text; the samples are other real text."""
    training, held_out = python_docs("train")[:500_000], python_docs("validation")
    pipeline = tiny_pipeline(LARGER)
    length = pipeline.codec.capacity
    starts = torch.linspace(0, len(held_out) - 2 * length, 400).long().tolist()
    windows = torch.tensor([pipeline.tokenizer.encode(held_out[i : i + 2 * length])[:length] for i in starts])
    context = EvaluationContext(
        pipeline, windows[::2], seed=0, times=(0.5,), num_windows=200, documents=lambda: [training]
    )
    samples = tuple(
        Generated("", seed, row, torch.empty(0), len(row), Picture(row)) for seed, row in enumerate(windows[1::2])
    )
    context.shared("samples", lambda: samples)
    return {row["text"]: row for row in Generation().measure(context)}


def marked(rows, name):
    """Return the columns that differ from held-out text."""
    return {key for key in columns_of([rows[name]]) if differs_from_real(rows[name], list(rows.values()), key)}


def test_every_baseline_differs_from_real_text_in_some_column(rows):
    """Other real text differs in no column."""
    assert list(rows) == ["model", "held-out", "shuffled words", "unigram", "6-gram", "periodic"]
    assert marked(rows, "held-out") == marked(rows, "model") == set()
    assert marked(rows, "shuffled words") >= {"judge_bits"}
    assert marked(rows, "unigram") >= {"judge_bits", "known_words", "copied"}
    assert marked(rows, "6-gram") >= {"judge_bits"}
    assert marked(rows, "periodic") >= {"entropy", "repeated", "compressed"}


def test_some_baselines_win_a_single_column(rows):
    """A single column cannot tell a baseline from real text."""
    for name in ("6-gram", "periodic"):
        assert rows[name]["judge_bits_high"] < rows["held-out"]["judge_bits_low"]
    assert rows["unigram"]["entropy_low"] > rows["held-out"]["entropy_high"]
    assert rows["shuffled words"]["known_words"] > rows["held-out"]["known_words"]
    assert rows["periodic"]["copied"] > rows["held-out"]["copied"]
    assert rows["unigram"]["repeated"] < rows["held-out"]["repeated"]
    assert "entropy" not in marked(rows, "6-gram")


def test_every_figure_has_an_interval_except_counts_and_the_maximum(rows):
    for row in rows.values():
        without = {key for key in columns_of([row]) if interval_of(row, key) is None}
        assert without == {"most_copied", "samples"}


def test_jackknife_intervals_cover_the_mean():
    """For many sets of texts from one distribution, about 95 % of the intervals contain the mean of all sets."""
    generator = np.random.default_rng(0)
    sets = []
    for _ in range(40):
        texts = [" ".join(generator.choice(["the dog", "a cat sat", "on", "it", "mats"], 12)) for _ in range(40)]
        sets.append(numbers_of(*texts, ends=False))
    for key in ("repeated", "distinct", "compressed"):
        mean = sum(each[key] for each in sets) / len(sets)
        assert sum(each[f"{key}_low"] <= mean <= each[f"{key}_high"] for each in sets) / len(sets) > 0.9, key
        width = sum(each[f"{key}_high"] - each[f"{key}_low"] for each in sets) / len(sets)
        assert width < 8 * np.std([each[key] for each in sets]), key  # and they are not too wide


def test_without_training_text_it_raises_an_error():
    with pytest.raises(InputError, match="no training text"):
        Generation().measure(replace(oracle_context(tiny_windows()), documents=None))
