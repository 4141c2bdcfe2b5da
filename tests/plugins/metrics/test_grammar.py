"""The metric on models whose stories are known: one that has memorized true stories, and others."""

import json
import math
from dataclasses import replace

import pytest
import torch

from jitkit.errors import RefusedError
from jitkit.evaluation.context import CannotMeasureError
from jitkit.generated import Generated
from jitkit.storage.picture import Picture
from jitkit.testing.oracle import oracle_context, tiny_pipeline, tiny_windows
from jitkit_plugins.grammar.entropy import entropy
from jitkit_plugins.grammar.stories import Stories
from jitkit_plugins.metrics.grammar import DRAWN, GrammarMetric, drawn_sets
from jitkit_plugins.metrics.likelihood import Likelihood
from jitkit_plugins.metrics.ode_likelihood import OdeLikelihood
from jitkit_plugins.sources.grammar import GrammarSource
from tests.plugins.grammar.enumeration import grammar_of

OVERRIDES = (
    'data={use="grammar", stories=400, validation_fraction=0.2}',
    "train.pack=false",
    "backbone.image_size=24",
    "sampler.steps=24",
)
SOURCE = GrammarSource(stories=400, validation_fraction=0.2).build(None)
TRAINING, HELD_OUT = list(SOURCE.documents("train")), list(SOURCE.documents("validation"))


def windows_of(texts):
    pipeline = tiny_pipeline(overrides=OVERRIDES)
    tokenizer, length = pipeline.tokenizer, pipeline.codec.capacity
    windows = torch.full((len(texts), length), tokenizer.pad_id)
    for window, text in zip(windows, texts, strict=True):
        ids = [*tokenizer.encode(text), tokenizer.eos_id]
        window[: len(ids)] = torch.tensor(ids)[:length]
    return windows


def context_of(samples=None, held_out=HELD_OUT, remembered=HELD_OUT, overrides=OVERRIDES, **fields):
    """Return a context of a model that generates `samples`, or has memorized the texts `remembered`."""
    context = oracle_context(windows_of(held_out), remembered=windows_of(remembered), overrides=overrides)
    context = replace(context, documents=lambda: TRAINING, **fields)
    if samples is not None:
        generated = tuple(
            Generated("", seed, row, torch.empty(0), len(row), Picture(row))
            for seed, row in enumerate(windows_of(samples))
        )
        context.shared("samples", lambda: generated)
    return context


def rows_of(context):
    return {row["text"]: row for row in GrammarMetric().measure(context)}


def test_a_model_that_has_memorized_stories_samples_only_valid_ones() -> None:
    """Through tokenizer, codec, denoiser, and all steps of the sampler."""
    model = rows_of(context_of(held_out=HELD_OUT[:32], remembered=HELD_OUT[32:64]))["model"]
    assert (model["valid"], model["samples"]) == (1.0, 32)
    assert not any(value for key, value in model.items() if key.startswith("wrong_") and "_high" not in key)
    assert model["novel"] == 1.0
    assert model["story_bits"] == pytest.approx(entropy(SOURCE.grammar))
    assert model["distinct_texts"] < 1  # 32 samples of 32 stories


def test_stories_of_the_training_text_are_not_novel() -> None:
    found = rows_of(context_of([*TRAINING[:6], *HELD_OUT[:2]]))
    assert (found["model"]["valid"], found["model"]["novel"]) == (1.0, 2 / 8)
    assert (found["held-out"]["valid"], found["held-out"]["novel"]) == (1.0, 1.0)


def test_each_rule_has_the_share_of_texts_that_violate_it() -> None:
    story = "Ben broke a red flag. He ran away. Paul fixed the flag."
    damaged = [
        story.replace("He", "She"),
        story.replace("He", "She").replace("Paul", "Ben"),
        story.replace("ran", "rat"),
        story[:-1],
    ]
    model = rows_of(context_of([story, *damaged]))["model"]
    shares = {
        key: value for key, value in model.items() if key.startswith("wrong_") and key[-4:] not in ("_low", "high")
    }
    expected = {"spelling": 0.2, "syntax": 0.2, "pronoun": 0.4, "name": 0.2, "object": 0.0, "cause": 0.0}
    assert shares == {f"wrong_{label}": share for label, share in expected.items()}
    assert model["valid"] == 0.2
    assert model["valid_low"] < 0.2 < model["valid_high"]


def test_a_story_that_fills_its_image_needs_no_end() -> None:
    """The text counts as it is, whether it ends or not."""
    pipeline = tiny_pipeline(overrides=OVERRIDES)
    windows = windows_of(HELD_OUT[:8])
    windows[windows == pipeline.tokenizer.eos_id] = pipeline.tokenizer.pad_id
    context = context_of()
    generated = tuple(Generated("", 0, row, torch.empty(0), len(row), Picture(row)) for row in windows)
    context.shared("samples", lambda: generated)
    assert rows_of(context)["model"]["valid"] == 1.0


def test_collapse_shows_in_the_distance_and_in_repeated_texts() -> None:
    num = 40
    collapsed, varied = (rows_of(context_of(texts)) for texts in (HELD_OUT[:1] * num, TRAINING[:num]))
    assert collapsed["model"]["distance"] > 0.6
    assert collapsed["model"]["distance"] > 2 * collapsed[DRAWN]["distance_high"]
    assert collapsed["model"]["distinct_texts"] == 1 / num
    assert varied[DRAWN]["distance_low"] < varied["model"]["distance"] < varied[DRAWN]["distance_high"]
    assert varied["model"]["worst_distance"] >= varied["model"]["distance"]
    assert isinstance(varied["model"]["worst_choice"], str)


def test_the_drawn_row_is_what_perfect_samples_would_have() -> None:
    drawn = rows_of(context_of(HELD_OUT[:40]))[DRAWN]
    assert (drawn["valid"], drawn["story_bits"]) == (1.0, entropy(SOURCE.grammar))
    assert drawn["distinct_texts"] > 0.99
    assert drawn["novel"] > 0.99  # not the stories of the source, which has the same seed
    few = rows_of(context_of([*HELD_OUT[:4], *["?"] * 36]))[DRAWN]
    assert few["distance"] > 2 * drawn["distance"]  # it is that of four stories, as many as the model has


def test_a_grammar_of_few_stories_is_noted() -> None:
    known, unknown = (context_of(samples=HELD_OUT[:2]) for _ in range(2))
    known = replace(
        known, documents=lambda: (one.text for some in drawn_sets(SOURCE.grammar, known.seed, 200) for one in some)
    )
    assert rows_of(known)[DRAWN]["novel"] == 0
    assert any("0% of new stories are not in the training text" in note for note in known.notes)
    rows_of(unknown)
    assert not any("new stories" in note for note in unknown.notes)


def test_windows_that_are_not_whole_stories_are_noted() -> None:
    context = context_of(HELD_OUT[:4], held_out=[HELD_OUT[0], HELD_OUT[1][:20]])
    assert rows_of(context)["held-out"]["valid"] == 0.5
    assert any("1 of 2 held-out windows are not stories" in note for note in context.notes)
    assert not any("several ways" in note for note in context.notes)


@pytest.mark.parametrize("weight", [1e6, 1e-6])
def test_a_text_with_too_many_readings_is_noted_and_a_grammar_that_writes_it_is_refused(weight, tmp_path) -> None:
    hard = "{part}" * 20 + "c."
    rules = f"""
    story = [{{ text = "A {{thing}} c.", weight = {weight} }}, {{ text = "{hard}", weight = {1 / weight} }}]
    thing = ["b", "d"]
    part = ["a ", "a a "]
    """
    source = Stories(grammar_of(rules, tmp_path), 0, 10, 0.2)
    samples = ["A b c.", "a " * 30 + "c.", "a " * 19 + "c."]  # one has 184,756 derivations
    context = context_of(samples, held_out=["A d c."], source=lambda: source)
    if weight < 1:
        with pytest.raises(RefusedError, match=r"data\.path: found a story with more than"):
            GrammarMetric().measure(context)
        return
    model = rows_of(context)["model"]
    assert (model["valid"], model["wrong_syntax"], model["samples"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3), 3)
    assert model["story_bits"] == pytest.approx(1)
    assert [note for note in context.notes if "1 text can be read in too many ways" in note]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("train.pack=false",), "data.use: found a model trained on 'python-docs'"),
        (('data={use="grammar"}',), "train.pack: found a model whose images hold"),
    ],
)
def test_other_models_cannot_be_measured(overrides, sentence) -> None:
    context = oracle_context(tiny_windows(), overrides=overrides)
    with pytest.raises(CannotMeasureError, match=sentence):
        GrammarMetric().measure(context)
    assert "exact" not in {row["part"] for row in Likelihood().measure(context)}


# ------------------------------------------------------------------------------------------------ likelihood


@pytest.mark.parametrize("metric", [Likelihood(), OdeLikelihood(steps=4)], ids=["likelihood", "ode_likelihood"])
def test_the_likelihood_bound_is_next_to_the_exact_bits(metric) -> None:
    """The exact bits are the true ones, and the excess is that of the bound over them."""
    rows = {row["part"]: row for row in metric.measure(context_of(held_out=HELD_OUT[:32]))}
    bound, exact = next(iter(rows.values())), rows["exact"]
    characters = sum(map(len, HELD_OUT[:32])) / 32
    num = exact["windows"]
    assert num in (2, 32)
    if num == 32:
        assert exact["bits_per_character"] == pytest.approx(entropy(SOURCE.grammar) / characters)
    assert bound["excess"] == pytest.approx(bound["bits_per_byte"] / exact["bits_per_byte"] - 1)
    assert bound["excess_low"] <= bound["excess"] <= bound["excess_high"]
    assert "excess" not in exact


def test_a_model_that_knows_the_windows_needs_fewer_bits_than_the_grammar() -> None:
    """It has memorized 32 stories: 5 bits instead of 19. So the bound of other models has room to fall to the exact bits."""
    context = context_of(held_out=HELD_OUT[:32], remembered=HELD_OUT[:32], batch_size=32)
    bound, *_ = Likelihood(num_times=100).measure(context)
    assert bound["excess"] == pytest.approx(math.log2(32) / entropy(SOURCE.grammar) - 1, abs=0.05)


def test_parts_of_stories_have_no_exact_bits() -> None:
    rows = Likelihood().measure(context_of(held_out=[HELD_OUT[0], HELD_OUT[1][:20]]))
    assert "exact" not in {row["part"] for row in rows}
    assert "excess" not in rows[0]
    assert json.dumps(rows, allow_nan=False)
