"""Checking prepared text: every byte of every shard, and that the corpus still contains the text that was prepared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jitkit.data.groups import Group, text_sha256
from jitkit.data.preparation import Preparation
from jitkit.data.prepared_index import SPLITS, PreparedIndex, ShardPair, read_index
from jitkit.data.shards import check_content
from jitkit.errors import InputError, Problem
from jitkit.filesystem import exists
from jitkit.progress import Counter, Progress, silent
from jitkit.protocols import DataSource, Tokenizer

REPAIR = "Run `jitkit data prepare` with the same manifest, --data and --set."


class Checked(NamedTuple):
    """What was checked and found intact."""

    folder: Path
    num_shards: int
    num_files: int  # of the corpus; 0 for a text that is read as a whole at each start


def check_prepared(
    source: DataSource,
    tokenizer: Tokenizer,
    *,
    pack_length: int | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Checked:
    """Read all shards of the prepared text, and all of its corpus. Raises InputError with every problem."""
    preparation = Preparation(source, tokenizer, pack_length, cache, progress)
    if not exists(preparation.folder):
        raise InputError(
            "no prepared text", "the folder of this text and tokenizer", file=preparation.folder, hint=REPAIR
        )
    index = read_index(preparation.folder, preparation.recipe)
    problems = _problems_of_shards(preparation, index, progress)
    if preparation.corpus is not None:
        problems += _problems_of(partial(preparation.corpus.require_unchanged, index.files))
        problems += _problems_of_texts(preparation.groups, index.pairs, progress)
    if problems:
        raise InputError(problems=problems)
    return Checked(preparation.folder, len(SPLITS) * len(index.pairs), len(index.files))


def _problems_of(check: Callable[[], object]) -> list[Problem]:
    try:
        check()
    except InputError as error:
        return list(error.problems)
    return []


def _problems_of_shards(preparation: Preparation, index: PreparedIndex, progress: Progress) -> list[Problem]:
    shards = [each for split in SPLITS for each in index.shard_files(preparation.folder, split)]
    problems, counter = list[Problem](), Counter(progress, "reading shards", len(shards))
    dtype, vocab_size = index.recipe["dtype"], index.recipe["vocab_size"]
    for path, shard in shards:
        problems += _problems_of(partial(check_content, path, shard, dtype, vocab_size, hint=REPAIR))
        counter.add(1)
    return problems


def _problems_of_texts(groups: Sequence[Group], pairs: Sequence[ShardPair], progress: Progress) -> list[Problem]:
    problems, counter = list[Problem](), Counter(progress, "reading the corpus", len(groups))
    for group, pair in zip(groups, pairs, strict=False):
        problems += _problems_of(partial(_require_same_text, group, pair))
        counter.add(1)
    return problems


def _require_same_text(group: Group, pair: ShardPair) -> None:
    if text_sha256(group) != pair.text_sha256:
        files = [stamp.path for stamp in pair.files]
        where = files[0] if len(files) == 1 else f"{files[0]} ... {files[-1]}"
        raise InputError("other text than when it was prepared", "the same text", file=where, hint=REPAIR)
