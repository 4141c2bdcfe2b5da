"""The kinds of components: their name, manifest table and hook."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of component."""

    name: str  # in messages: "noise schedule"
    table: str  # in manifests: "schedule"
    hook: str  # in hookspecs: "jitkit_noise_schedules"

    @property
    def word(self) -> str:
        """The name in one word, as on the command line: "schedule"."""
        return self.name.split()[-1]


KINDS = (
    Kind("data source", "data", "jitkit_data_sources"),
    Kind("tokenizer", "tokenizer", "jitkit_tokenizers"),
    Kind("codec", "codec", "jitkit_codecs"),
    Kind("noise schedule", "schedule", "jitkit_noise_schedules"),
    Kind("backbone", "backbone", "jitkit_backbones"),
    Kind("objective", "objective", "jitkit_objectives"),
    Kind("sampler", "sampler", "jitkit_samplers"),
    Kind("metric", "metrics", "jitkit_metrics"),
    Kind("tracker", "trackers", "jitkit_trackers"),
)

KIND_OF_TABLE = {kind.table: kind for kind in KINDS}
KIND_OF_WORD = {kind.word: kind for kind in KINDS}

# Tables and keys that may change after training.
INFERENCE_TABLES = ("schedule", "objective", "sampler", "guidance", "train.precision", "train.compile")


def is_among(key: str, allowed: Collection[str]) -> bool:
    """Return whether a key ("sampler.gamma") or its table is in `allowed`."""
    return key in allowed or key.partition(".")[0] in allowed
