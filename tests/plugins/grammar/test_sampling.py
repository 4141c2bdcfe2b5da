"""Stories are drawn with their probabilities, and are the same in every process."""

import math
import subprocess
import sys
from collections import Counter
from itertools import islice

import pytest

from jitkit_plugins.grammar.sampling import stories
from tests.plugins.grammar.enumeration import GRAMMARS, TALES_SHORT, grammar_of, probabilities

NUM = 4000


@pytest.mark.parametrize("rules", GRAMMARS.values(), ids=GRAMMARS)
def test_stories_have_their_probabilities(rules, tmp_path) -> None:
    """Pearson's statistic over all stories is below its mean plus five standard deviations."""
    grammar = grammar_of(rules, tmp_path)
    expected = probabilities(grammar)
    counts = Counter(islice(stories(grammar, 1), NUM))
    assert counts.keys() <= expected.keys()
    chi2 = sum((counts[text] - NUM * p) ** 2 / (NUM * p) for text, p in expected.items())
    # The variance of the statistic for cells of any size, in which a rare story counts much.
    num = len(expected)
    variance = 2 * (num - 1) + (sum(1 / p for p in expected.values()) - num**2 - 2 * num + 2) / NUM
    assert chi2 < num - 1 + 5 * math.sqrt(variance)


def test_stories_are_the_same_in_every_process_and_on_each_call() -> None:
    code = (
        "from itertools import islice\n"
        "from jitkit_plugins.grammar.reading import TALES, read_grammar\n"
        "from jitkit_plugins.grammar.sampling import stories\n"
        "print(*islice(stories(read_grammar(TALES), 7), 50), sep='\\n')"
    )
    outputs = [
        subprocess.run([sys.executable, "-c", code], env={**_environment(), "PYTHONHASHSEED": seed}, **_CAPTURED).stdout
        for seed in ("1", "2")
    ]
    here = [list(islice(stories(TALES_SHORT, 7), 50)) for _ in range(2)]
    assert here[0] == here[1] == outputs[0].splitlines() == outputs[1].splitlines()
    assert list(islice(stories(TALES_SHORT, 8), 50)) != here[0]


_CAPTURED = {"capture_output": True, "text": True, "check": True}


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": ":".join(path for path in sys.path if path)}
