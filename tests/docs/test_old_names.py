"""Retired names and words do not come back. docs/glossary.md and docs/architecture.md have the current ones."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PATHS = ("jitkit", "plugins", "docs", "zoo", "tests", "README.md", "CONTRIBUTING.md", "Makefile")
SUFFIXES = {".py", ".md", ".toml", ".jinja", ".css", ".html", ""}
EXEMPT = (
    "tests/docs/test_old_names.py",
    "tests/docs/test_style.py",
    "tests/data/",  # files of older versions
    "plugins/jitkit_plugins/grammar/tales.toml",  # stories, in which people walk and are told
    "tests/plugins/test_tales.py",
)

# What replaces each pattern. Patterns match case-sensitively, at word boundaries.
NAMES = {
    # parallel/
    "add_up(_gradients)?": "all_reduce_sum, all_reduce_gradients",
    "PATIENCE": "TIMEOUT",
    "(?<=def )(largest|told|wait|leads|takes|invited|joined)": "all_reduce_max, broadcast, barrier, is_main_process, ...",
    # training/
    "Lesson|Taught|FromText|FromTeacher|Feed": "TrainingTask, StepResult, DenoisingTask, DistillationTask, Prefetcher",
    "to_the_end|in_place_of_weights": "Trainer.fit, ema_scope",
    "class (Facts|Start|Run|Held)": "RunMetadata, ResumePoint, Trainer, PeakMemoryMode",
    "forecast": "dry_run",
    r"(?<=def )(teach|measures|saves)|(?<=\.)(teach|measures|saves)(?=\()": "backward, validates_at, checkpoints_at",
    # execution/
    "Executed|HalfWeights|class Watch": "RuntimeNetwork, Bf16WeightCache, AutocastTracer",
    "stand_in|for_a_cpu|recompute_blocks|(?<=def )repeatable": "simulated_device, runs_on_cpu, checkpoint_activations, deterministic",
    "MAPPED|KEPT": "MMAP_THRESHOLD, TRIM_THRESHOLD",
    # diffusion/
    r"unguide|(?<=class )(Guide|Walk)|(?<=\.)settled": "cfg_target, StepContext, GridSampler, self_conditioned",
    r"objective\.reading|takes_reading|reading=": "token_posterior",
    "(?<=def )(ask|settled)": "network_output, self_conditioned",
    # evaluation/, ablation/ and bench/
    r"(evaluation|ablation|execution)[./](overlap|copies|controls|kept|student|choice|heap)": "contamination, memorization, ...",
    "make_subject|(?<=class )(Subject|Kept)": "EvaluationContext, BenchmarkTarget, PartialResults",
    "READINGS?": "MODEL_COLUMNS, INFERENCE_TABLES",
    # research/
    r"benchmarks[/.]\w*": "research/",
    r"rivals?": "competitors",
}
WORDS = {
    "contextless (line|baseline)": "context-free baseline",
    "judge[sd]?|judging": "n-gram language model, score",
    "[Ll]essons?": "training task",
    r"(?<![.\w])[Ww]alk(s|ed|ing)?(?!\()": "sampling trajectory",
    "told": "a plain verb: takes, gets, knows",
    r"[Ss]ays(?! so\b)": "a plain verb: returns, shows, contains",
    "[Aa]sk(s|ed)? for": "requests, needs, expects",
    "lest|whom|anew|mends?": "a common word",
    "[Bb]eside": "next to, in addition to",
    r"\w*[Cc]olour\w*": "color",
    r"\w*(tokenis|initialis|normalis|optimis(?=[ei])|neighbour|behaviour)\w*": "American spelling",
}
PATTERNS = {re.compile(rf"\b(?:{pattern})\b"): hint for pattern, hint in (NAMES | WORDS).items()}
ANY = re.compile(rf"\b(?:{'|'.join(NAMES | WORDS)})\b")  # one search instead of many, in files that have none

# Data that may contain old words: (file, match).
ALLOWED = {
    ("docs/adr/0017-restructuring.md", "objective.reading"),  # names the old key
    ("README.md", "colour"),  # a sample
    ("jitkit/data/windows.py", "walking"),  # the term for it
    ("jitkit/manifest/reader.py", "objective.reading"),
    ("jitkit/scaffold/templates/LICENSE.jinja", "whom"),  # the words of the license
    ("jitkit/manifest/renamed.py", "objective.reading"),  # the old key
    ("tests/core/test_manifest.py", "objective.reading"),
    ("tests/core/ablation/test_run.py", "objective.reading"),  # a record of an older version
    ("tests/core/cli/test_renamed_keys.py", "objective.reading"),
    ("tests/core/test_filesystem.py", "walk"),  # os.walk
    ("tests/core/evaluation/test_context.py", "walk"),  # a purpose of noise, which seeds it
}


def tracked_files() -> Iterator[str]:
    listed = subprocess.run(["git", "ls-files", *PATHS], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.splitlines():
        if not name.startswith(EXEMPT) and Path(name).suffix in SUFFIXES and (ROOT / name).is_file():
            yield name


def old_names(name: str, text: str) -> Iterator[str]:
    """Yield one line per retired name in the file called `name`."""
    for number, line in enumerate(text.splitlines() if ANY.search(text) else (), 1):
        for pattern, hint in PATTERNS.items():
            for match in pattern.finditer(line):
                if (name, match[0]) not in ALLOWED:
                    yield f"{name}:{number}: found {match[0]!r}; expected {hint}"


def test_no_retired_name_or_word_is_used() -> None:
    found = [line for name in tracked_files() for line in old_names(name, (ROOT / name).read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_retired_names_are_found_and_similar_ones_are_not() -> None:
    text = "The network is told the colour of a walk.\nforecast(executed, judge_bits, pkgutil.walk_packages(), ast.walk(tree))"
    assert [line.split("'")[1] for line in old_names("a.py", text)] == ["walk", "told", "colour", "forecast"]
