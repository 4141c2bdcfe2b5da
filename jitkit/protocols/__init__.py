"""The interface of each kind of component. Docstrings state shapes, ranges, and requirements.

Some components depend on their surroundings: a codec needs the vocabulary size. For those, the component holds the settings
and `build(...)` returns the working object. The others work as they are.
"""

from typing import Any

from jitkit.protocols.backbone import Backbone, NetworkInputs, PublishedBackbone
from jitkit.protocols.codec import Codec, CodecComponent
from jitkit.protocols.data_source import DataSource, DataSourceComponent, Split
from jitkit.protocols.noise_schedule import (
    AnyNoiseSchedule,
    LearnedSchedule,
    Levels,
    NoiseSchedule,
    NoiseScheduleComponent,
    PixelSchedule,
)
from jitkit.protocols.objective import Noised, Objective
from jitkit.protocols.sampler import Denoise, Sampler, Step
from jitkit.protocols.tokenizer import Tokenizer, TokenizerComponent
from jitkit.protocols.tracker import SampleTracker, TrackedSample, Tracker, TrackerComponent

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
"""The protocol of each kind of component, by manifest table. The one for metrics is in `jitkit.evaluation.metric`."""

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
    "NetworkInputs",
    "NoiseSchedule",
    "NoiseScheduleComponent",
    "Noised",
    "Objective",
    "PixelSchedule",
    "PublishedBackbone",
    "SampleTracker",
    "Sampler",
    "Split",
    "Step",
    "Tokenizer",
    "TokenizerComponent",
    "TrackedSample",
    "Tracker",
    "TrackerComponent",
]
