"""The contracts: one file a kind, a Protocol whose docstring states shapes, ranges and laws.

Where a part needs to know its surroundings before it can work (a codec needs the size of the vocabulary), the component
in the manifest only holds settings and `build(...)` returns the working part. The others work as they are.
"""

from jitkit.protocols.backbone import Backbone
from jitkit.protocols.codec import Codec, CodecComponent
from jitkit.protocols.data_source import DataSource, DataSourceComponent, Split
from jitkit.protocols.metric import Measurement, Metric, Row
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

__all__ = [
    "AnyNoiseSchedule",
    "Backbone",
    "Codec",
    "CodecComponent",
    "DataSource",
    "DataSourceComponent",
    "Denoise",
    "LearnedSchedule",
    "Levels",
    "Measurement",
    "Metric",
    "NoiseSchedule",
    "NoiseScheduleComponent",
    "Noised",
    "Objective",
    "Row",
    "Sampler",
    "Split",
    "Step",
    "Tokenizer",
    "TokenizerComponent",
    "Tracker",
    "TrackerComponent",
]
