"""Score samples with the grammar of their training text.

    python -m research.grammar_score RESULTS.json ... [--grammar FILE] [--start RULE]

RESULTS.json are files of `research.competitors`, or of `jitkit generate --json`. Each set of texts yields one line of JSON,
with the numbers of the metric `grammar`, see docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from jitkit_plugins.grammar.reading import TALES, read_grammar
from jitkit_plugins.metrics.grammar import Reader, numbers_of
from research.command_line import run
from research.sample_files import read_samples


def main(arguments: Sequence[str]) -> None:
    """Print the scores of every set of texts."""
    parser = argparse.ArgumentParser(
        prog="python -m research.grammar_score", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="RESULTS.json")
    parser.add_argument("--grammar", type=Path, default=TALES, help="default: the tales")
    parser.add_argument("--start", default="", help="the rule that stories begin with")
    options = parser.parse_args(arguments)
    read = Reader(read_grammar(options.grammar, options.start))
    for file in options.files:
        for name, texts in read_samples(file).items():
            numbers = numbers_of([read(text) for text in texts], read.labels, frozenset(), seed=0)
            rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in numbers.items()}
            print(json.dumps({"file": str(file), "setting": name, **rounded}))


if __name__ == "__main__":
    run("grammar_score", main)
