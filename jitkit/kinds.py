"""The kinds of parts: the word users see, the table of a manifest that names one, the hook that offers them."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class Kind(NamedTuple):
    """One category of plugged-in parts."""

    name: str  # as in messages: "noise schedule"
    table: str  # as in manifests: "schedule"
    hook: str  # as in hookspecs: "jitkit_noise_schedules"
    protocol: str  # as in jitkit.protocols: "NoiseSchedule"


KINDS = (
    Kind("data source", "data", "jitkit_data_sources", "DataSourceComponent"),
    Kind("tokenizer", "tokenizer", "jitkit_tokenizers", "TokenizerComponent"),
    Kind("codec", "codec", "jitkit_codecs", "CodecComponent"),
    Kind("noise schedule", "schedule", "jitkit_noise_schedules", "AnyNoiseSchedule"),
    Kind("backbone", "backbone", "jitkit_backbones", "Backbone"),
    Kind("objective", "objective", "jitkit_objectives", "Objective"),
    Kind("sampler", "sampler", "jitkit_samplers", "Sampler"),
    Kind("metric", "metrics", "jitkit_metrics", "Metric"),
    Kind("tracker", "trackers", "jitkit_trackers", "TrackerComponent"),
)

KIND_OF_TABLE = {kind.table: kind for kind in KINDS}

# Tables and keys that say how a trained network is used, not what it is.
READING = ("schedule", "objective", "sampler", "guidance", "train.precision", "train.compile")


def is_among(key: str, allowed: Collection[str]) -> bool:
    """Tell whether a key ("sampler.gamma"), or its table, is one of `allowed`."""
    return key in allowed or key.partition(".")[0] in allowed
