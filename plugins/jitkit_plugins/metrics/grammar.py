"""How many generated stories a grammar could have written, and whether they are as varied as its own."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from jitkit.component import Component
from jitkit.documents.rows import HELD_OUT, MODEL, Measurement, Row
from jitkit.errors import RefusedError, counted
from jitkit.evaluation.context import EvaluationContext
from jitkit.evaluation.intervals import NORMAL, mean_with_interval, share_with_interval
from jitkit_plugins.grammar.coverage import coverage
from jitkit_plugins.grammar.entropy import entropy
from jitkit_plugins.grammar.grammar import Grammar
from jitkit_plugins.grammar.parser import SPELLING, SYNTAX, Derivation, bits_of, derivations, violated
from jitkit_plugins.grammar.sampling import story
from jitkit_plugins.metrics.compared_texts import held_out_samples, sample_of
from jitkit_plugins.metrics.exact_bits import stories_of

DRAWN = "drawn"  # the label of the row for stories of the grammar itself
DRAWS = 20  # sets of such stories
FEW_NOVEL = 0.5  # share of drawn stories that are not in the training text, below which `novel` is noted


class GrammarMetric(Component):
    """Share of stories that follow their grammar, the rules that others violate, and how varied they are."""

    name: ClassVar[str] = "grammar"
    frontier_columns: ClassVar[tuple[str, ...]] = (
        "valid",
        "distance",
        "wrong_spelling",
        "wrong_syntax",
        "distinct_texts",
        "novel",
    )
    tiny_overrides: ClassVar[tuple[str, ...]] = ('data={use="grammar", stories=100}', "train.pack=false")

    def measure(self, context: EvaluationContext) -> Measurement:
        """Return a row for the model's samples, one for held-out stories, and one for newly drawn stories.

        A text ends at its first eos. See `numbers_of` and `drawn`. Raises CannotMeasureError for a model that was trained on
        another source, or with `train.pack`.
        """
        source = stories_of(context)
        windows = {
            MODEL: [sample_of(context.pipeline.tokenizer, one.tokens) for one in context.samples],
            HELD_OUT: held_out_samples(context, context.windows),
        }
        read = Reader(source.grammar)
        stories = {name: [read(sample.text) for sample in samples] for name, samples in windows.items()}
        sets = list(drawn_sets(source.grammar, context.seed, len(stories[MODEL])))
        copied = _among(context.documents or (lambda: source.documents("train")), [*stories.values(), *sets])
        _note_surprises(context, stories)
        if read.unfinished:
            found = counted(len(read.unfinished), "text")
            context.notes.append(f"{found} can be read in too many ways: not in `story_bits` and `distance`")
        rows = [{"text": name, **numbers_of(some, read.labels, copied, context.seed)} for name, some in stories.items()]
        num_valid = sum(one.is_valid for one in stories[MODEL])
        drawn = numbers_of_drawn(source.grammar, sets, num_valid, copied)
        if float(drawn["novel"]) < FEW_NOVEL:
            context.notes.append(
                f"{float(drawn['novel']):.0%} of new stories are not in the training text: it holds most of what the "
                "grammar can write, and `novel` is not meaningful"
            )
        return [*rows, {"text": DRAWN, **drawn}]


@dataclass(frozen=True)
class Read:
    """A text, and how the grammar could have written it: not at all if it violates a rule.

    A story without derivations can be read in too many ways to find all.
    """

    text: str
    derivations: Sequence[Derivation]
    violated: frozenset[str]

    @property
    def is_valid(self) -> bool:
        """Whether it is a story of the grammar."""
        return not self.violated


class Reader:
    """Reads texts, each different one once."""

    def __init__(self, grammar: Grammar) -> None:
        self.grammar = grammar
        self.labels = (SPELLING, SYNTAX, *grammar.violation_labels)
        self.unfinished = list[str]()  # texts with too many derivations
        self._seen = dict[str, Read]()

    def __call__(self, text: str) -> Read:
        """Return a text as the grammar reads it."""
        if text not in self._seen:
            found = self._derivations(text)
            self._seen[text] = Read(text, found, frozenset() if found else violated(self.grammar, text))
        return self._seen[text]

    def _derivations(self, text: str) -> Sequence[Derivation]:
        """Return the derivations of a text; none if they are too many, as they may be for a text that no model should write."""
        try:
            return derivations(self.grammar, text)
        except RefusedError:
            self.unfinished.append(text)
            return ()


def numbers_of(stories: Sequence[Read], labels: Iterable[str], copied: frozenset[str], seed: int) -> Row:
    """Return the numbers of some texts, with 95 % intervals where each text has a value of its own.

    - `valid`: share that are stories of the grammar.
    - `wrong_...`: share that violate a rule, by its label.
    - `distinct_texts`: different texts per text.
    - `novel`: share of the valid ones that are not `copied`.
    - `story_bits`: -log2 of the true probability of a valid one, mean.
    - `distance`, `worst_distance`: of the choices of the valid ones from their true probabilities, see `coverage`: over all
      choices, and at the place `worst_choice` where it is largest.
    """
    valid = [one for one in stories if one.is_valid]
    derived = [one for one in valid if one.derivations]
    numbers: dict[str, float | str] = {**share_with_interval("valid", [one.is_valid for one in stories])}
    for label in labels:
        numbers |= share_with_interval(f"wrong_{label}", [label in one.violated for one in stories])
    numbers |= {"distinct_texts": _distinct(stories)}
    numbers |= share_with_interval("novel", [one.text not in copied for one in valid])
    numbers |= mean_with_interval("story_bits", [bits_of(one.derivations) for one in derived], seed)
    if found := coverage(one.derivations[0] for one in derived):
        numbers |= {"distance": found.mean, "worst_distance": found.worst, "worst_choice": found.worst_place}
    return {**numbers, "samples": len(stories)}


def numbers_of_drawn(grammar: Grammar, sets: Sequence[Sequence[Read]], num_valid: int, copied: frozenset[str]) -> Row:
    """Return what to expect of perfect samples: the mean over sets of drawn stories, and where 95 % of the sets are.

    `story_bits` is the entropy of the grammar. Distances fall with the number of stories, so they are of `num_valid` stories
    of each set, as many as the model has.
    """
    found = [coverage(one.derivations[0] for one in stories[:num_valid]) for stories in sets]
    distances = [one for one in found if one]
    return {
        "valid": 1.0,
        **_spread("distinct_texts", map(_distinct, sets)),
        **_spread("novel", (sum(one.text not in copied for one in stories) / len(stories) for stories in sets)),
        "story_bits": entropy(grammar),
        **_spread("distance", (one.mean for one in distances)),
        **_spread("worst_distance", (one.worst for one in distances)),
        "samples": sum(map(len, sets)),
    }


def drawn_sets(grammar: Grammar, seed: int, num: int) -> Iterator[list[Read]]:
    """Yield `DRAWS` sets of `num` stories each. They are not those of a source with the same seed.

    Raises RefusedError for a grammar with a story that can be read in too many ways.
    """
    for draw in range(DRAWS):
        numbers = random.Random(f"drawn {seed} {draw}")
        read = cache(lambda text: Read(text, derivations(grammar, text), frozenset()))
        yield [read(story(grammar, numbers)) for _ in range(num)]


def _distinct(stories: Sequence[Read]) -> float:
    return len({one.text for one in stories}) / len(stories)


def _among(documents: Callable[[], Iterable[str]], sets: Iterable[Sequence[Read]]) -> frozenset[str]:
    """Return the texts of the `sets` that are among the training documents."""
    texts = {one.text for stories in sets for one in stories}
    return frozenset(text for text in documents() if text in texts)


def _spread(name: str, values: Iterable[float]) -> dict[str, float]:
    """Return the mean of shares as `name`, and the interval of a single one; empty without values."""
    some = list(values)
    if not some:
        return {}
    mean, half = statistics.fmean(some), NORMAL * statistics.stdev(some)
    return {name: mean, f"{name}_low": max(0.0, mean - half), f"{name}_high": min(1.0, mean + half)}


def _note_surprises(context: EvaluationContext, stories: dict[str, list[Read]]) -> None:
    """Note held-out windows that are no stories, and stories that can be read in several ways."""
    held_out = stories[HELD_OUT]
    if invalid := sum(not one.is_valid for one in held_out):
        found = f"{invalid} of {counted(len(held_out), 'held-out window')} are not stories of the grammar"
        length = counted(context.pipeline.codec.capacity, "token")
        context.notes.append(f"{found}; a story and its end must fit one image, {length}")
    if any(len(one.derivations) > 1 for one in held_out):
        context.notes.append(
            "the grammar can write a story in several ways: its entropy is less than that of its choices"
        )
