"""The result tables: every competitor at every setting and at equal entropy, averaged over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from research.competitors.equal_entropy import ScoredSetting, bits_at_entropy
from research.competitors.sampling_grid import SamplingGrid
from research.competitors.shared_recipe import SharedRecipe
from research.competitors.trial import HIDDEN_SHARES, Trial, decode, infill_key, texts_key
from research.ngram_score import NgramScorer

Row = dict[str, Any]
Trials = Mapping[str, Sequence[Trial]]  # by competitor, one per seed

BITS, ENTROPY = "ngram_bits_per_character", "entropy"
COLUMNS = {  # heading: key in a row, digits
    "bits per character": (BITS, 2),
    "entropy": (ENTROPY, 2),
    "words known": ("words_known", 2),
    "repeated 12-grams": ("repeated_12grams", 3),
    "parameters": ("parameters", 0),
    "seconds per step": ("seconds_a_step", 3),
    "seconds per text": ("seconds_a_text", 3),
}


def quality_rows(recipe: SharedRecipe, trials: Trials, grid: SamplingGrid, entropies: Sequence[float]) -> list[Row]:
    """Return the rows of all trials that have results, by competitor. The first row is real text."""
    scorer = NgramScorer(recipe.training_text)
    held_out = scorer(decode(recipe, recipe.held_out(grid.texts)))
    rows: list[Row] = [{"model": "real text", "sampling": "held-out windows", **mean_over_seeds([held_out])}]
    for seeds in trials.values():
        for evaluations in seeds[0].competitor.evaluations(grid.evaluations):
            rows += _competitor_rows(seeds, evaluations, scorer, grid, entropies)
    return rows


def _competitor_rows(
    seeds: Sequence[Trial], evaluations: int, scorer: NgramScorer, grid: SamplingGrid, entropies: Sequence[float]
) -> list[Row]:
    """Return the rows of one competitor at one number of evaluations: first by setting, then by entropy."""
    base, rows = {"model": seeds[0].competitor.name, "evaluations": evaluations}, []
    scored: list[list[ScoredSetting]] = [[] for _ in seeds]  # by seed
    for label in seeds[0].competitor.sample_settings(grid):
        found = []
        for trial, settings in zip(seeds, scored, strict=True):
            result = trial.file.results.get(texts_key(evaluations, label, grid.texts))
            if result is not None:
                scores = scorer(result["texts"])
                settings.append(ScoredSetting(scores[ENTROPY], scores[BITS]))
                costs = {key: result[key] for key in ("evaluations", "seconds_a_text")}
                found.append(scores | trial.file.results["training"] | costs)
        if found:
            rows.append({**base, "sampling": label, **mean_over_seeds(found)})
    for entropy in entropies:
        bits = [bits_at_entropy(settings, entropy) for settings in scored if settings]
        reached = [value for value in bits if value is not None]
        if reached and len(reached) == len(bits):
            mean = mean_over_seeds([{BITS: value, ENTROPY: entropy} for value in reached])
            rows.append({**base, "sampling": f"at entropy {entropy:g}", **mean})
    return rows


def infill_rows(trials: Trials, grid: SamplingGrid) -> list[Row]:
    """Return the infilling accuracy by competitor, number of evaluations, and setting."""
    rows: list[Row] = []
    for name, seeds in trials.items():
        for evaluations, label in product(grid.infill_evaluations, seeds[0].competitor.infill_settings(grid)):
            accuracies: Row = {}
            for share in HIDDEN_SHARES:
                key = infill_key(evaluations, share, label, grid.texts)
                found = [trial.file.results.get(key) for trial in seeds]
                accuracies |= mean_over_seeds([{_heading(share): value} for value in found if value is not None])
            if accuracies.pop("seeds", 0):
                rows.append({"model": name, "evaluations": evaluations, "sampling": label, **accuracies})
    return rows


def mean_over_seeds(found: Sequence[Mapping[str, float]]) -> Row:
    """Return the mean of each number, and its extremes as `_low` and `_high` if there are several seeds."""
    row: Row = {}
    for key in found[0] if found else ():
        values = [numbers[key] for numbers in found]
        row[key] = math.fsum(values) / len(values)
        if len(values) > 1:
            row |= {f"{key}_low": min(values), f"{key}_high": max(values)}
    return {**row, "seeds": len(found)} if row else row


def as_markdown(quality: Sequence[Row], infilling: Sequence[Row]) -> str:
    """Return the quality table and, if it has rows, the infilling table."""
    lines = [
        [row["model"], str(round(row.get("evaluations", 0)) or ""), row["sampling"]]
        + [_cell(row, key, digits) for key, digits in COLUMNS.values()]
        for row in quality
    ]
    text = _markdown(["model", "evaluations", "sampling", *COLUMNS], lines)
    if infilling:
        headings = [_heading(share) for share in HIDDEN_SHARES]
        lines = [
            [row["model"], str(row["evaluations"]), row["sampling"], *(_cell(row, key, 3) for key in headings)]
            for row in infilling
        ]
        text += "\nShare of hidden tokens restored in held-out windows:\n\n"
        text += _markdown(["model", "evaluations, at most", "sampling", *headings], lines)
    return text


def _heading(share: float) -> str:
    return f"{share:.0%} hidden"


def _cell(row: Row, key: str, digits: int) -> str:
    if key not in row:
        return ""
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    bounds = f" ({low:,.{digits}f} to {high:,.{digits}f})" if low is not None and low != high else ""
    return f"{row[key]:,.{digits}f}{bounds}"


def _markdown(headings: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---" if heading in {"model", "sampling"} else "---:" for heading in headings]
    return "".join(f"| {' | '.join(line)} |\n" for line in (headings, rule, *lines))
