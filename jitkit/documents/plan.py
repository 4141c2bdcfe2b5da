"""The JSON document of `jitkit plan`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jitkit.documents.document import Count, Document, Share


class Constant(Document):
    """A number that predictions are based on."""

    name: str
    value: float
    basis: Literal["measured", "published", "specified", "assumed"]
    source: str


class PlannedMemory(Document):
    """Bytes on each device at the peak of a step."""

    weights: Count
    gradients: Count
    optimizer: Count
    averages: Count
    temporary: Count = Field(description="gathered weights, activations, buffers")
    program: Count
    total: Count
    capacity: Count = Field(description="of the device")


class PlannedTraffic(Document):
    """Bytes that each device exchanges in a step."""

    weights: Count = Field(description="size of all weights, for comparison")
    gathered: Count = Field(description="weights gathered from the shards")
    reduced: Count = Field(description="gradients summed and scattered to the shards")
    all_reduced: Count = Field(description="gradients summed over replicas")
    exchanged: Count = Field(
        description="matrices sent to their owners and back by the optimizer, all devices together"
    )


class PlannedStep(Document):
    """Seconds of a step: the largest of computation, communication, and data, plus what cannot overlap."""

    seconds: float
    compute: float
    communication: float
    data: float = Field(description="drawing the next batch")
    exposed: float = Field(description="communication that cannot overlap")
    optimizer: float
    bound: str = Field(description="what the step waits for: computation, communication, or data")
    mfu: Share = Field(description="share of the device's peak, without recomputation")


class PlannedLayout(Document):
    """One way to divide the devices."""

    shard: Count = Field(description="processes that hold one copy of the model together")
    replicas: Count
    memory: Count = Field(description="bytes on each device")
    fits: bool
    seconds: float = Field(description="of a step")


class PlannedCheckpoint(Document):
    """Checkpoints, and the interval at which failures cost least."""

    size: Count = Field(description="bytes on disk")
    seconds: float = Field(description="to save one")
    interval_seconds: float
    interval_steps: Count
    failure_seconds: float = Field(description="mean time between failures of any device")
    lost: Share = Field(description="share of time for saving and for steps repeated after failures")


class PlannedCost(Document):
    """Cost in the currency of the price."""

    price: float = Field(description="of a device and hour")
    per_day: float
    per_billion_tokens: float
    run: float | None = Field(default=None, description="of all steps, if their number is known")


class Predictions(Document):
    """Everything predicted."""

    memory: PlannedMemory
    traffic: PlannedTraffic
    step: PlannedStep
    tokens_per_second: float
    tokens_per_day: float
    run_seconds: float | None = Field(default=None, description="of all steps, if their number is known")
    checkpoint: PlannedCheckpoint
    cost: PlannedCost | None = None
    layouts: list[PlannedLayout] = Field(description="all ways to divide the devices")


class TrainingPlan(Document):
    """`jitkit plan --json`."""

    schema_: Literal["jitkit.plan/1"] = Field(alias="schema", description="name and version of this schema")
    id: str = Field(description="of the manifest")
    device: str
    devices: Count
    machines: Count
    num_parameters: Count
    shard: Count = Field(description="processes that hold one copy of the model together")
    recommended_shard: Count = Field(description="the fastest that fits, for parallel.shard")
    automatic_shard: Count = Field(description='what parallel.shard = "auto" chooses')
    images: Count = Field(description="images that a process takes through the network at once")
    passes: Count = Field(description="passes of each process in a step")
    predicted: Predictions = Field(
        description="`memory`, `traffic`, `step`, tokens, `run_seconds`, `checkpoint`, `cost`, and all `layouts`"
    )
    constants: list[Constant] = Field(
        description="what the predictions are based on: values that were measured or published, specified by the vendor, or assumed"
    )
    notes: list[str] = Field(default=[], description="caveats for the reader")
