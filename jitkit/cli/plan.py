"""`jitkit plan`: memory, time, and cost of training on devices that this machine does not have."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from jitkit.cli.console import note, out, print_json, print_table, working
from jitkit.cli.options import JsonOption, ManifestArgument, SetOption
from jitkit.errors import UsageError, counted, shown
from jitkit.plan.checkpoints import MTBF_HOURS, WRITE_RATE
from jitkit.plan.cluster import Cluster
from jitkit.plan.devices import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jitkit.documents.plan import Predictions, TrainingPlan

UNITS = {"mtbf_hours": ("h", 1.0), "usable": ("", 1.0), "program": ("GB", 1e9), "memory": ("GB", 1e9)}
UNITS |= {"peak": ("TFLOP/s", 1e12), "products": ("TFLOP/s", 1e12)}  # all others are bandwidths


def plan(
    manifest: ManifestArgument,
    on: Annotated[
        str, typer.Option("--on", metavar="NxDEVICE", help="Devices: h200, h100, a100, b200, l40s, mi300x, or cpu.")
    ],
    price: Annotated[
        float | None, typer.Option(metavar="NUMBER", min=0, help="Price of a device per hour, in any currency.")
    ] = None,
    mtbf: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS", min=1, help="Mean time between failures of a device. Default: 50000, as published."
        ),
    ] = None,
    write: Annotated[
        float | None,
        typer.Option(
            metavar="GB/s", min=1e-3, help="Speed at which a process writes checkpoints. Default: 0.41, as measured."
        ),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Predict memory, step time, and cost of training on many devices.

    It simulates one step of one process on tensors without memory, so it runs on any machine and needs no text.

    Example: jitkit plan jit-h4 --on 64xh200 --price 3
    """
    for name, value in (("--price", price), ("--mtbf", mtbf), ("--write", write)):
        if value is not None and not math.isfinite(value):
            raise UsageError(shown(value), "a finite number", field=name)
    cluster = Cluster.parse(on)
    from jitkit.plan.planner import Rates, plan_training
    from jitkit.recipe import open_recipe

    rates = Rates(
        price,
        MTBF_HOURS if mtbf is None else Figure(mtbf, "assumed", "--mtbf"),
        WRITE_RATE if write is None else Figure(write * 1e9, "assumed", "--write"),
    )
    with working("simulating a step"):
        found = plan_training(open_recipe(manifest, overrides=overrides or ()), cluster, rates)
    if as_json:
        print_json(found.as_json())
    else:
        _print(found)


def _print(plan: TrainingPlan) -> None:
    devices = f"{plan.devices} x {plan.device}, {counted(plan.machines, 'machine')}"
    out.print(f"{plan.id}, {plan.num_parameters:,} parameters, on {devices}")
    print_table(["", "predicted"], _rows(plan), "ll")
    out.print()
    print_table(["parallel.shard", "memory", "step", ""], _layouts(plan), "rrrl")
    out.print()
    print_table(["", "value", "basis", "source"], _constants(plan), "lrll")
    for line in plan.notes:
        note(line)


def _rows(plan: TrainingPlan) -> Iterator[tuple[str, str]]:
    predicted = plan.predicted
    yield "memory", _memory(predicted)
    yield "step", _step(predicted)
    images = f"{counted(plan.images, 'image')} at once, {counted(plan.passes, 'pass')}"
    yield "work of a device", f"{images}, MFU {predicted.step.mfu:.1%}, waits for {predicted.step.bound}"
    yield "traffic of a device", _traffic(predicted)
    yield (
        "tokens",
        f"{predicted.tokens_per_second:,.0f} per second, {predicted.tokens_per_day / 1e9:,.2f} billion per day",
    )
    if predicted.run_seconds is not None:
        yield "run", _time(predicted.run_seconds)
    if (cost := predicted.cost) is not None:
        run = "" if cost.run is None else f", {cost.run:,.2f} for the run"
        yield "cost", f"{cost.per_day:,.2f} per day, {cost.per_billion_tokens:,.2f} per billion tokens{run}"
    checkpoint = predicted.checkpoint
    every = f"best every {_time(checkpoint.interval_seconds)} ({counted(checkpoint.interval_steps, 'step')})"
    yield "checkpoint", f"{checkpoint.size / 1e9:,.1f} GB in {_time(checkpoint.seconds)}, {every}"
    failures = f"one in {_time(checkpoint.failure_seconds)}"
    yield "failures", f"{failures}; saving and repeating steps take {checkpoint.lost:.2%} of the time"
    yield "recommended", f'parallel.shard = {plan.recommended_shard}, where "auto" chooses {plan.automatic_shard}'


def _memory(predicted: Predictions) -> str:
    values = predicted.memory.model_dump(exclude={"total", "capacity"})
    parts = ", ".join(f"{name} {value / 1e9:,.2f}" for name, value in values.items())
    return f"{predicted.memory.total / 1e9:,.2f} of {predicted.memory.capacity / 1e9:,.0f} GB: {parts}"


def _step(predicted: Predictions) -> str:
    step = predicted.step
    values = step.model_dump(include={"compute", "communication", "data", "exposed", "optimizer"})
    names = ", ".join(f"{name} {_time(value)}" for name, value in values.items())
    return f"{_time(step.seconds)}: {names}"


def _traffic(predicted: Predictions) -> str:
    values = predicted.traffic.model_dump()
    weights = values.pop("weights")
    parts = ", ".join(f"{name.replace('_', '-')} {value / weights:.2f}" for name, value in values.items())
    return f"{parts} times the weights of {weights / 1e9:,.2f} GB"


def _layouts(plan: TrainingPlan) -> Iterator[tuple[str, str, str, str]]:
    for layout in plan.predicted.layouts:
        chosen = "this plan" if layout.shard == plan.shard else ""
        remark = chosen if layout.fits else "does not fit"
        yield str(layout.shard), f"{layout.memory / 1e9:,.2f} GB", _time(layout.seconds), remark


def _constants(plan: TrainingPlan) -> Iterator[tuple[str, str, str, str]]:
    for constant in plan.constants:
        unit, size = UNITS.get(constant.name, ("GB/s", 1e9))
        value = f"{constant.value / size:,.2f}".rstrip("0").rstrip(".")
        yield constant.name.replace("_", " "), f"{value} {unit}", constant.basis, constant.source


def _time(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{1000 * seconds:,.1f} ms"
