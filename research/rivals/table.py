"""The table: every model at every setting and at equal entropy, the mean over seeds with the least and the greatest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from research.judge import WORD, CharacterModel, judged
from research.rivals.asked import Asked
from research.rivals.cell import HIDDEN, Cell, infilling_name, texts_name, texts_of
from research.rivals.contestants import Task
from research.rivals.frontier import Point, bits_at

Row = dict[str, Any]

BITS, ENTROPY, WORDS, REPEATED = "judge_bits_per_character", "entropy", "words_known", "repeated_12grams"
FIGURES = {  # the keys of a row by the heads of their columns, with the digits that are shown
    "bits a character": (BITS, 2),
    "entropy": (ENTROPY, 2),
    "words known": (WORDS, 2),
    "repeated 12-grams": (REPEATED, 3),
    "parameters": ("parameters", 0),
    "seconds a step": ("seconds_a_step", 3),
    "seconds a text": ("seconds_a_text", 3),
}


class Judge:
    """The judge of `research/judge.py`, trained on the text that the models were trained on."""

    def __init__(self, text: str) -> None:
        self.model, self.known_words = CharacterModel(text), frozenset(WORD.findall(text))

    def __call__(self, texts: Sequence[str]) -> dict[str, float]:
        """Return the figures of `texts`."""
        return judged(self.model, self.known_words, texts)


def quality_rows(
    task: Task, cells: Mapping[str, Sequence[Cell]], asked: Asked, entropies: Sequence[float]
) -> list[Row]:
    """Return the rows of all cells that have something to show, by contestant; real text comes first."""
    judge = Judge(task.training_text)
    held_out = judge(texts_of(task, task.held_out(asked.texts)))
    rows: list[Row] = [{"model": "real text", "sampling": "held-out windows", **spread([held_out])}]
    for name, seeds in cells.items():
        for evaluations in seeds[0].contestant.evaluations(asked.evaluations):
            rows += _rows(name, evaluations, seeds, judge, asked, entropies)
    return rows


def _rows(
    name: str, evaluations: int, seeds: Sequence[Cell], judge: Judge, asked: Asked, entropies: Sequence[float]
) -> list[Row]:
    """Return the rows of one contestant at one number of evaluations: its settings, then what it can do at an entropy."""
    rows: list[Row] = []
    frontiers: list[list[Point]] = [[] for _ in seeds]
    for label in seeds[0].contestant.settings(asked):
        found = []
        for cell, frontier in zip(seeds, frontiers, strict=True):
            result = cell.record.results.get(texts_name(evaluations, label, asked.texts))
            if result is not None:
                figures = judge(result["texts"])
                frontier.append(Point(figures[ENTROPY], figures[BITS]))
                times = {key: result[key] for key in ("evaluations", "seconds_a_text")}
                found.append(figures | cell.record.results["training"] | times)
        if found:
            rows.append({"model": name, "sampling": label, "evaluations": evaluations, **spread(found)})
    for entropy in entropies:
        bits = [bits_at(frontier, entropy) for frontier in frontiers if frontier]
        reached = [value for value in bits if value is not None]
        if reached and len(reached) == len(bits):
            least = spread([{BITS: value, ENTROPY: entropy} for value in reached])
            rows.append({"model": name, "sampling": f"at entropy {entropy:g}", "evaluations": evaluations, **least})
    return rows


def infilling_rows(cells: Mapping[str, Sequence[Cell]], asked: Asked) -> list[Row]:
    """Return the share of hidden tokens that each model finds, by contestant, evaluations and setting."""
    rows: list[Row] = []
    for name, seeds in cells.items():
        for evaluations, label in product(asked.infilling, seeds[0].contestant.infill_settings(asked)):
            figures: Row = {}
            for share in HIDDEN:
                key = infilling_name(evaluations, share, label, asked.texts)
                found = [cell.record.results.get(key) for cell in seeds]
                figures |= spread([{f"{share:.0%} hidden": value} for value in found if value is not None])
            if figures.pop("seeds", 0):
                rows.append({"model": name, "evaluations": evaluations, "sampling": label, **figures})
    return rows


def spread(found: Sequence[Mapping[str, float]]) -> Row:
    """Return the mean of each figure over seeds, with `_low` and `_high`, the extremes, where there are several seeds."""
    row: Row = {}
    for key in found[0] if found else ():
        values = [figures[key] for figures in found]
        row[key] = math.fsum(values) / len(values)
        if len(values) > 1:
            row |= {f"{key}_low": min(values), f"{key}_high": max(values)}
    return {**row, "seeds": len(found)} if row else row


def as_markdown(quality: Sequence[Row], infilling: Sequence[Row]) -> str:
    """Return the table, and below it that of infilling where a model can."""
    heads = ["model", "evaluations", "sampling", *FIGURES]
    lines = [
        [row["model"], str(round(row.get("evaluations", 0)) or ""), row["sampling"]]
        + [_shown(row, key, digits) for key, digits in FIGURES.values()]
        for row in quality
    ]
    text = _markdown(heads, lines)
    if infilling:
        keys = [f"{share:.0%} hidden" for share in HIDDEN]
        found = [
            [row["model"], str(row["evaluations"]), row["sampling"], *(_shown(row, key, 3) for key in keys)]
            for row in infilling
        ]
        text += "\nShare of the hidden tokens that are found, in held-out windows:\n\n"
        text += _markdown(["model", "evaluations, at most", "sampling", *keys], found)
    return text


def _shown(row: Row, key: str, digits: int) -> str:
    if key not in row:
        return ""
    low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
    bounds = f" ({low:,.{digits}f} to {high:,.{digits}f})" if low is not None and low != high else ""
    return f"{row[key]:,.{digits}f}{bounds}"


def _markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ["---" if head in {"model", "sampling"} else "---:" for head in heads]
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *lines))
