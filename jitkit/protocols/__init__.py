"""The contracts: one file a kind, a Protocol whose docstring states shapes, ranges and laws.

Where a part needs to know its surroundings before it can work (a codec needs the size of the vocabulary), the component
in the manifest only holds settings and `build(...)` returns the working part. The others work as they are.
"""

from typing import Any

from jitkit.protocols.backbone import Backbone
from jitkit.protocols.codec import Codec, CodecComponent
from jitkit.protocols.data_source import DataSource, DataSourceComponent, Split
from jitkit.protocols.noise_schedule import (
    AnyNoiseSchedule,
    LearnedSchedule,
    Levels,
    NoiseSchedule,
    NoiseScheduleComponent,
)
from jitkit.protocols.objective import Noised, Objective
from jitkit.protocols.sampler import Denoise, Sampler, Step
from jitkit.protocols.tokenizer import Tokenizer, TokenizerComponent
from jitkit.protocols.tracker import Tracker, TrackerComponent

COMPONENT_PROTOCOLS: dict[str, Any] = {
    "data": DataSourceComponent,
    "tokenizer": TokenizerComponent,
    "codec": CodecComponent,
    "schedule": AnyNoiseSchedule,
    "backbone": Backbone,
    "objective": Objective,
    "sampler": Sampler,
    "trackers": TrackerComponent,
}
"""What a component must implement, by the manifest table that names it. Metrics are in `jitkit.evaluation.metric`."""

__all__ = [
    "COMPONENT_PROTOCOLS",
    "AnyNoiseSchedule",
    "Backbone",
    "Codec",
    "CodecComponent",
    "DataSource",
    "DataSourceComponent",
    "Denoise",
    "LearnedSchedule",
    "Levels",
    "NoiseSchedule",
    "NoiseScheduleComponent",
    "Noised",
    "Objective",
    "Sampler",
    "Split",
    "Step",
    "Tokenizer",
    "TokenizerComponent",
    "Tracker",
    "TrackerComponent",
]
