"""Benchmarks measure real training steps, and their numbers are consistent."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from jitkit.bench.ceiling import Ceiling, ceiling_shares, product_flops, product_shapes
from jitkit.bench.sections import measure_checkpoint, measure_codec, measure_data, measure_memory, measure_sampling
from jitkit.bench.timing import Spread
from jitkit.bench.training import PARTS, measure_training, step_parts, take_step
from jitkit.checkpoints.format import load_checkpoint
from jitkit.discovery import create_plugin_manager
from jitkit.training.run import Request, train
from jitkit.training.tasks.denoising import Prefetcher


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Repeat nothing more often than needed."""
    monkeypatch.setattr("jitkit.bench.timing.ENOUGH", 0.0)


ACCUMULATED = ("train.accumulate=2", "train.optimizer=muon")


@pytest.mark.parametrize(
    ("settings", "ahead"),
    [
        ((), None),
        (ACCUMULATED, False),
        (ACCUMULATED, True),
        pytest.param(ACCUMULATED, None, marks=pytest.mark.slow),
        pytest.param((), False, marks=pytest.mark.slow),
        pytest.param((), True, marks=pytest.mark.slow),
    ],
)
def test_a_benchmark_step_equals_a_training_step_bit_for_bit(make, tmp_path, settings, ahead):
    target = make("train.max_steps=2", *settings)
    target.pipeline.denoiser.network.train()
    if ahead is None:
        step_parts(target), step_parts(target)
    else:
        task = target.task(Prefetcher(target.setup.batch, ahead=ahead))
        take_step(target, task), take_step(target, task)
    manager, console = create_plugin_manager(), Console(file=io.StringIO())
    result = train(Request(target.setup.components, manager, tmp_path / "run", target.device, console))
    trained = load_checkpoint(next(result.folder.glob("checkpoint_*.pth"))).model_state_dict
    for name, value in target.pipeline.network.state_dict().items():
        assert torch.equal(value, trained[name]), name


def test_numbers_of_training_and_sampling_are_consistent(make):
    target = make()
    ceiling = Ceiling.of(target)
    training = measure_training(target, ceiling)
    assert training["flops"] * training["step_seconds"] == pytest.approx(training["flops_per_step"])
    assert training["flops_per_step"] == target.estimate.training_flops * 4
    assert training["tokens_per_second"] / training["images_per_second"] == pytest.approx(
        target.pipeline.codec.capacity
    )
    assert all(0 < training[part] < training["step_seconds"] for part in (*PARTS, "finite_check"))
    sampling = measure_sampling(target, ceiling, print)
    assert sampling["evaluations_per_step"] == 1  # Euler evaluates once per step
    assert sampling["flops"] * sampling["step_seconds"] == pytest.approx(4 * target.estimate.forward_flops)
    for section in (training, sampling):
        least, most = section["spread"]["ceiling_flops"]
        assert section["flops"] / most / 2 < section["share_of_ceiling"] < 2 * section["flops"] / least
    assert ceiling.as_json()["bandwidth"] > 0
    memory = measure_memory(target)
    assert memory["predicted_bytes"] == target.estimate.memory.total
    assert memory["peak_bytes"] > target.estimate.memory.weights


def test_a_sampling_step_takes_as_long_as_the_network(make, monkeypatch):
    """The clock advances by one second per call of the network."""
    target, clock = make(), [0.0]
    ceiling = Ceiling.of(target)

    def call(*_: object) -> None:
        clock[0] += 1

    target.pipeline.network.register_forward_hook(call)
    monkeypatch.setattr(torch, "mm", call)  # what the ceiling is measured by
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    sampling = measure_sampling(target, ceiling, print)
    assert sampling["spread"]["step_seconds"] == [1, 1]
    assert sampling["spread"]["text_seconds"] == [sampling["steps"]] * 2  # all steps of the manifest


def test_the_ceiling_uses_the_matrix_shapes_of_the_network(make):
    target = make("train.accumulate=2")
    sizes = {
        (layer.in_features, layer.out_features)
        for layer in target.pipeline.network.modules()
        if isinstance(layer, nn.Linear)
    }
    shapes = product_shapes(target)
    assert {shape[1:] for shape in shapes} <= sizes
    assert shapes[0][0] == 2 * (16 // 4) ** 2  # the patches of one part of the batch
    assert [rows * a * b for rows, a, b in shapes] == sorted((rows * a * b for rows, a, b in shapes), reverse=True)


def test_a_share_refers_to_the_ceiling_measured_with_it():
    """A temporary slowdown of the machine changes no share."""
    found = ceiling_shares(12.0, [(1.0, 24.0), (2.0, 12.0), (1.0, 24.0)])
    assert (found["share_of_ceiling"].min, found["share_of_ceiling"].max) == (0.5, 0.5)
    assert (found["flops"].median, found["flops"].min) == (12.0, 6.0)


def test_the_ceiling_is_measured_before_and_after(make, monkeypatch):
    """The clock advances by one second per product and by a hundred in the measured function."""
    target, clock = make(), [0.0]
    ceiling = replace(Ceiling.of(target), rates={"fp32": Spread(1.0, 1.0, 1.0)}, fastest={"fp32": (2, 3, 5)})

    def product(*_: object) -> None:
        clock[0] += 1

    monkeypatch.setattr(torch, "mm", product)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def slow() -> float:
        clock[0] += 100
        return clock[0]

    places = [found for found, most in ceiling.compare(slow, "fp32") if most == 2 * 2 * 3 * 5]
    assert [later - earlier for earlier, later in pairwise(places)] == [104.0] * (len(places) - 1)


def test_flops_are_counted_as_in_torch():
    shape = (3, 5, 7)
    with FlopCounterMode(display=False) as counter:
        torch.mm(torch.ones(3, 5), torch.ones(5, 7))
    assert product_flops(shape) == counter.get_total_flops()


def test_data_codec_and_checkpoint_sections_are_plausible(make):
    target, manager = make(), create_plugin_manager()
    data = measure_data(target, manager, step_seconds=10.0)
    assert data["logging_seconds"] > 0
    assert data["share_of_step"] == pytest.approx((data["batch_seconds"] + data["logging_seconds"]) / 10)
    assert data["tokenize_bytes_per_second"] > 0
    assert (
        measure_codec(target)["num_tokens"] == len(target.setup.text.train.consecutive) * target.pipeline.codec.capacity
    )
    step_parts(target)
    checkpoint = measure_checkpoint(target, manager)
    assert checkpoint["num_bytes"] > target.estimate.checkpoint_bytes
    assert checkpoint["save_seconds"] > checkpoint["verify_seconds"] > 0
