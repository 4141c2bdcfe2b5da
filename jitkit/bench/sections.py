"""The sections of a benchmark, measured one after another."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from jitkit.bench import SECTIONS
from jitkit.bench.ceiling import Ceiling, ceiling_shares
from jitkit.bench.target import BenchmarkTarget
from jitkit.bench.timing import Spread, as_json, measure_seconds, repeat, time_limit
from jitkit.bench.training import consecutive_steps, measure_training
from jitkit.checkpoints.format import load_checkpoint, save_checkpoint, versions_in_use
from jitkit.checkpoints.open import load_pipeline
from jitkit.discovery.loader import PluginManager
from jitkit.execution.device import seconds
from jitkit.execution.memory_usage import peak_memory
from jitkit.filesystem import size_of
from jitkit.storage.torch_archive import open_archive
from jitkit.training.reporting import Reporter
from jitkit.training.state import run_metadata
from jitkit.training.tasks.denoising import Prefetcher

Section = dict[str, Any]
SECONDS = 60.0  # for each section
STEPS = 2  # of the short sampling trajectory that is timed
NUM_TOKENS = 2**17  # of text that tokenizer and codec are measured on, or all of it if there is less
HELP = [sys.executable, "-c", "from jitkit.cli import main; main()", "--help"]
CPU = torch.device("cpu")


def required_sections(only: Collection[str]) -> set[str]:
    """Return the sections of `only` and those that they depend on."""
    required = set(only)
    if required & {"data", "memory"}:
        required |= {"training", "memory"}
    if required & {"training", "sampling"}:
        required.add("ceiling")
    return required


@dataclass
class Benchmark:
    """The sections of one benchmark. The model is built when the first section needs it.

    `seconds` is the time for each section, after which nothing is repeated.
    """

    build: Callable[[bool], BenchmarkTarget]  # with or without a network that trains
    manager: PluginManager
    note: Callable[[str], None]
    only: Collection[str] = SECTIONS
    seconds: float = SECONDS

    def measure(self) -> Iterator[tuple[str, Section]]:
        """Yield the name and values of each required section as soon as they are known."""
        for name in SECTIONS:  # training comes before other sections that need memory, so that its peak is its own
            if name in required_sections(self.only):
                self.note(f"measuring {name}")
                with time_limit(self.seconds):
                    values = getattr(self, f"_{name}")()
                yield name, values

    @cached_property
    def target(self) -> BenchmarkTarget:
        """The model."""
        return self.build("training" in required_sections(self.only))

    @cached_property
    def _measured_ceiling(self) -> Ceiling:
        return Ceiling.of(self.target)

    @cached_property
    def _measured_training(self) -> Section:
        return measure_training(self.target, self._measured_ceiling)

    def _startup(self) -> Section:
        return measure_startup()

    def _ceiling(self) -> Section:
        return self._measured_ceiling.as_json()

    def _training(self) -> Section:
        return self._measured_training

    def _memory(self) -> Section:
        return dict(measure_memory(self.target))

    def _data(self) -> Section:
        step_seconds = float(self._measured_training["step_seconds"])
        return measure_data(self.target, self.manager, step_seconds=step_seconds)

    def _codec(self) -> Section:
        return measure_codec(self.target)

    def _checkpoint(self) -> Section:
        return measure_checkpoint(self.target, self.manager)

    def _sampling(self) -> Section:
        return measure_sampling(self.target, self._measured_ceiling, self.note)


def measure_sampling(target: BenchmarkTarget, ceiling: Ceiling, note: Callable[[str], None]) -> dict[str, object]:
    """Return the seconds of a sampling step with as many images as a training batch, and of one whole text."""
    pipeline, num_images = target.pipeline.prepared(note), target.estimate.batch_size
    num_runs, num_inputs = 0, 0

    def count_inputs(_: object, inputs: tuple[Any, ...], __: object) -> None:
        nonlocal num_inputs
        num_inputs += len(inputs[0])

    def sample() -> None:
        nonlocal num_runs
        num_runs += 1
        pipeline.generate(range(num_images), steps=STEPS)

    # The hook is on the runtime network: inside, it would be compiled as well.
    with pipeline.denoiser.network.register_forward_hook(count_inputs):
        measured = ceiling.compare(lambda: seconds(sample, target.device) / STEPS, target.setup.execution.precision)
    inputs_per_step = num_inputs / num_runs / STEPS  # twice the number of images if an estimate takes two passes
    step = Spread.of([taken for taken, _ in measured])
    return as_json(
        step_seconds=step,
        images_per_second=step.rate(num_images / pipeline.sampler.steps),
        **ceiling_shares(target.estimate.forward_flops * inputs_per_step, measured),
        text_seconds=measure_seconds(lambda: pipeline.generate([0]), target.device),
        batch_size=num_images,
        steps=pipeline.sampler.steps,
        evaluations_per_step=inputs_per_step / num_images,
    )


def measure_memory(target: BenchmarkTarget) -> dict[str, int]:
    """Return the peak since the process began, on the device that trains. Call it right after `measure_training`.

    On a CPU it includes the program with everything imported. The peak is left out if the system does not report it.
    """
    peak = peak_memory() if target.device.type == "cpu" else None
    if target.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(target.device)
    return ({} if peak is None else {"peak_bytes": peak}) | {"predicted_bytes": target.estimate.memory.total}


def measure_data(target: BenchmarkTarget, manager: PluginManager, *, step_seconds: float) -> dict[str, object]:
    """Return the seconds of a batch, of its parts, and of logging; their share of a step; and tokenized bytes per second."""
    setup, steps = target.setup, count()
    tokenizer, codec, device = target.pipeline.tokenizer, target.pipeline.codec, target.device

    def load() -> torch.Tensor:
        windows = setup.text.train
        return windows.tokens(windows.batch_starts(setup.train.seed, next(steps), setup.train.batch_size))

    tokens = load().to(device)
    text = tokenizer.decode(setup.text.data.train.tokens[:NUM_TOKENS].tolist())
    batch = measure_seconds(lambda: setup.batch(next(steps)), device)
    logging = _logging(manager)
    return as_json(
        batch_seconds=batch,
        windows_seconds=measure_seconds(load, CPU),
        codec_seconds=measure_seconds(lambda: codec.encode(tokens), device),
        logging_seconds=logging,
        share_of_step=_share(target, batch.median, step_seconds) + logging.median / step_seconds,
        tokenize_bytes_per_second=measure_seconds(lambda: tokenizer.encode(text), CPU).rate(len(text.encode())),
    )


def _logging(manager: PluginManager) -> Spread:
    """Return the seconds of reporting a step to `metrics.jsonl` and plugins, without trackers."""
    numbers = {"loss": 1.25, "lr": 1e-3, "grad_norm": 0.5, "seconds": 0.25, "tokens_per_second": 1e5}
    with TemporaryDirectory() as folder:
        reporter = Reporter(Path(folder), (), manager, lambda _: None)
        taken = measure_seconds(lambda: reporter.step({"step": 1, "epoch": 1, **numbers}), CPU)
        reporter.close()
    return taken


def _share(target: BenchmarkTarget, batch_seconds: float, step_seconds: float) -> float:
    """Return the share of a step spent on its batch. On a GPU, what a step gains if the batch exists already."""
    if target.device.type == "cpu":
        return batch_seconds / step_seconds
    batch = target.setup.batch(0)
    task = target.task(Prefetcher(lambda _: batch, ahead=False))
    return max(0.0, 1 - median(repeat(consecutive_steps(target, task))) / step_seconds)


def measure_codec(target: BenchmarkTarget) -> dict[str, object]:
    """Return tokens per second from ids to images and back."""
    codec, windows, device = target.pipeline.codec, target.setup.text.train, target.device
    tokens = windows.tokens(windows.consecutive[: max(1, NUM_TOKENS // codec.capacity)]).to(device)
    images = codec.encode(tokens)
    return as_json(
        encode_tokens_per_second=measure_seconds(lambda: codec.encode(tokens), device).rate(tokens.numel()),
        decode_tokens_per_second=measure_seconds(lambda: codec.decode(images), device).rate(tokens.numel()),
        num_tokens=tokens.numel(),
    )


def measure_checkpoint(target: BenchmarkTarget, manager: PluginManager) -> dict[str, object]:
    """Return the seconds of saving (verified, as always), of verifying alone, and of loading the values and the model."""
    metadata = run_metadata(target.setup, versions_in_use(manager), {"origin": "jitkit bench"})
    checkpoint, device = target.state.checkpoint(1, metadata), target.device
    with TemporaryDirectory(prefix="jitkit-bench-") as folder:
        path = Path(folder, "checkpoint.pth")
        return as_json(
            save_seconds=measure_seconds(lambda: save_checkpoint(path, checkpoint), CPU),
            verify_seconds=measure_seconds(lambda: open_archive(path), CPU),
            load_seconds=measure_seconds(lambda: load_checkpoint(path), CPU),
            pipeline_seconds=measure_seconds(lambda: load_pipeline(path, device, manager=manager), device),
            num_bytes=size_of(path),
        )


def measure_startup() -> dict[str, object]:
    """Return the seconds from the start of the process to its end."""

    def run_help() -> None:
        # In a session of its own, Ctrl-C does not reach it: Python would print a traceback before jitkit can handle it.
        subprocess.run(HELP, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, start_new_session=True)

    return as_json(help_seconds=measure_seconds(run_help, CPU))
