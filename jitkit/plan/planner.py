"""From a manifest and a cluster to a plan: one simulated step, the best layout, and what follows from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from jitkit.assembly import Components
from jitkit.documents.plan import (
    Constant,
    PlannedCheckpoint,
    PlannedCost,
    PlannedLayout,
    PlannedMemory,
    PlannedStep,
    PlannedTraffic,
    Predictions,
    TrainingPlan,
)
from jitkit.errors import counted
from jitkit.plan.checkpoints import MTBF_HOURS, WRITE_RATE, Saving
from jitkit.plan.cluster import Cluster
from jitkit.plan.devices import Figure
from jitkit.plan.layout import Layout, fastest
from jitkit.plan.memory import PROGRAM, USABLE
from jitkit.plan.planned_run import PlannedRun

DAY, HOUR = 86_400, 3600
SHORT = 0.06  # seconds; jit-nano's step of 512 images took 43 ms on an H200, where arithmetic alone takes 6


@dataclass(frozen=True)
class Rates:
    """What a user may know about a cluster."""

    price: float | None = None  # of a device and hour
    mtbf_hours: Figure = MTBF_HOURS
    write_rate: Figure = WRITE_RATE


def plan_training(components: Components, cluster: Cluster, rates: Rates) -> TrainingPlan:
    """Return the plan of training on a cluster. It takes seconds to half a minute, and little memory.

    Raises ManifestError if the processes cannot be divided as the manifest requires, or a step does not fit.
    """
    run = PlannedRun(components, cluster)
    run.require_plannable()
    layouts = run.layouts()
    options = layouts.all()
    best = fastest(options)
    chosen = best if run.shard is None else layouts.of(run.shard)
    if chosen is None or not chosen.fits or best is None:
        raise run.too_large(layouts, chosen or options[-1], best)
    return TrainingPlan(
        schema="jitkit.plan/1",
        id=components.manifest.id,
        device=cluster.device.name,
        devices=cluster.count,
        machines=cluster.machines,
        num_parameters=layouts.step.num_parameters,
        shard=chosen.shard,
        recommended_shard=best.shard,
        automatic_shard=layouts.automatic.shard,
        images=run.images,
        passes=run.passes,
        predicted=_predictions(run, chosen, options, rates),
        constants=_constants(cluster, rates),
        notes=_notes(run, chosen, best),
    )


def _predictions(run: PlannedRun, layout: Layout, options: list[Layout], rates: Rates) -> Predictions:
    seconds, length = layout.time.total, None
    if run.train.minutes is not None:
        length = 60 * run.train.minutes
    elif run.train.max_steps is not None:
        length = run.train.max_steps * seconds
    return Predictions(
        memory=_memory(layout),
        traffic=_traffic(layout),
        step=_step(layout),
        tokens_per_second=run.tokens / seconds,
        tokens_per_day=run.tokens / seconds * DAY,
        run_seconds=length,
        checkpoint=_checkpoint(layout, rates),
        cost=None if rates.price is None else _cost(run, layout, rates.price, length),
        layouts=[_option(option) for option in options],
    )


def _memory(layout: Layout) -> PlannedMemory:
    memory = layout.memory
    return PlannedMemory(**asdict(memory), total=memory.total, capacity=int(layout.cluster.device.memory.value))


def _traffic(layout: Layout) -> PlannedTraffic:
    traffic, reduced = layout.traffic, sum(layout.traffic.reduces)
    return PlannedTraffic(
        weights=layout.memory.weights * layout.shard,
        gathered=sum(traffic.gathers),
        reduced=reduced,
        all_reduced=round(reduced / layout.shard) if layout.replicas > 1 else 0,
        exchanged=sum(traffic.exchanges),
    )


def _step(layout: Layout) -> PlannedStep:
    time = layout.time
    return PlannedStep(**asdict(time), seconds=time.total, bound=time.bound, mfu=layout.mfu)


def _option(layout: Layout) -> PlannedLayout:
    return PlannedLayout(
        shard=layout.shard,
        replicas=layout.replicas,
        memory=layout.memory.total,
        fits=layout.fits,
        seconds=layout.time.total,
    )


def _checkpoint(layout: Layout, rates: Rates) -> PlannedCheckpoint:
    memory, cluster = layout.memory, layout.cluster
    saving = Saving.of(
        (memory.weights + memory.optimizer + memory.averages) * layout.shard,
        writers=layout.shard,
        count=cluster.count,
        write_rate=rates.write_rate.value,
        mtbf_hours=rates.mtbf_hours.value,
    )
    return PlannedCheckpoint(
        size=saving.num_bytes,
        seconds=saving.seconds,
        interval_seconds=saving.interval,
        interval_steps=max(1, round(saving.interval / layout.time.total)),
        failure_seconds=saving.failure_seconds,
        lost=saving.lost,
    )


def _cost(run: PlannedRun, layout: Layout, price: float, length: float | None) -> PlannedCost:
    per_second = price * layout.cluster.count / HOUR
    return PlannedCost(
        price=price,
        per_day=per_second * DAY,
        per_billion_tokens=per_second * layout.time.total / run.tokens * 1e9,
        run=None if length is None else per_second * length,
    )


def _constants(cluster: Cluster, rates: Rates) -> list[Constant]:
    figures = cluster.device.figures() | {"write_rate": rates.write_rate, "mtbf_hours": rates.mtbf_hours}
    figures["program"] = Figure(PROGRAM, "assumed", "bytes of libraries and communication buffers")
    figures["usable"] = Figure(USABLE, "assumed", "share of the memory that a step can use")
    return [Constant(name=name, **asdict(figure)) for name, figure in figures.items()]


def _notes(run: PlannedRun, chosen: Layout, best: Layout) -> list[str]:
    notes = []
    if run.num_padding:
        wasted = f"{run.num_padding} of {counted(run.num_padding + run.train.batch_size, 'image')} of a step"
        notes.append(f"{wasted} are padding; a train.batch_size that is a multiple of {run.cluster.count} wastes none")
    if chosen.time.bound == "communication":
        notes.append("devices wait for communication; more images per device (train.batch_size) hide it")
    if chosen.time.total < SHORT:
        notes.append("steps this short also wait for Python and kernel launches, which are not predicted")
    if chosen.shard != best.shard:
        notes.append(f"parallel.shard = {best.shard} is predicted to be faster")
    return notes
