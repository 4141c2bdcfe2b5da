"""Properties of plans, on the tiny model and the engine itself."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from jitkit.documents.plan import TrainingPlan
from jitkit.errors import ManifestError
from jitkit.execution.config import ExecutionConfig
from jitkit.parallel.passes import share_of
from jitkit.parallel.sharding import shard_network
from jitkit.plan.cluster import Cluster
from jitkit.plan.devices import DEVICES, Figure
from jitkit.plan.layout import Layouts
from jitkit.plan.optimizer_work import OptimizerWork
from jitkit.plan.planned_run import PlannedRun
from jitkit.plan.planner import Rates, plan_training
from jitkit.plan.simulation import fake_mesh, simulate_step
from jitkit.plan.traffic import Traffic
from jitkit.recipe import open_recipe
from jitkit.training.cost_estimate import simulated
from jitkit.training.optim.optimizer import build_optimizer
from tests.tiny import resolved

H200 = DEVICES["h200"]
MODEL = ("backbone.embed_dim=64", "backbone.depth=2", "train.batch_size=64", "train.ema=[0.9, 0.99]")


def plan(*overrides: str, count: int = 4, price: float | None = None) -> TrainingPlan:
    return plan_training(resolved(*MODEL, *overrides), Cluster(H200, count), Rates(price))


@cache
def layouts(*overrides: str) -> Layouts:
    return PlannedRun(resolved(*MODEL, *overrides), Cluster(H200, 4)).layouts()


@pytest.fixture(scope="module")
def on_16() -> TrainingPlan:
    """The plan for two machines of 8 devices."""
    return plan(count=16, price=3.0)


def test_gradients_are_reduced_once_and_weights_gathered_for_each_pass() -> None:
    """Forward pass, backward pass, and the extra pass of self-conditioning; what is not in a block stays gathered."""
    found = plan("parallel.shard=4")
    traffic = found.predicted.traffic
    assert traffic.weights == pytest.approx(4 * found.num_parameters, rel=0.02)
    assert traffic.reduced == pytest.approx(traffic.weights, rel=0.01)
    assert 2 < traffic.gathered / traffic.weights < 3
    without = plan("objective.self_conditioning=0.0", "parallel.shard=4").predicted.traffic
    assert 1 < without.gathered / without.weights < 2


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_one_device_communicates_nothing(optimizer: str) -> None:
    traffic = plan(f"train.optimizer={optimizer}", count=1).predicted.traffic
    assert traffic.model_dump(exclude={"weights"}) == {"gathered": 0, "reduced": 0, "all_reduced": 0, "exchanged": 0}


def test_state_falls_as_the_inverse_of_the_shard_and_the_rest_stays() -> None:
    found = {shard: layouts().of(shard).memory for shard in (1, 2, 4)}
    for shard, memory in found.items():
        for name in ("weights", "gradients", "optimizer", "averages"):
            assert getattr(memory, name) * shard == pytest.approx(getattr(found[1], name), rel=0.02)
        assert memory.temporary == found[1].temporary
        assert memory.averages == 2 * memory.weights


def test_shards_of_another_size_are_what_the_engine_does_with_them() -> None:
    """One step is simulated for all sizes of shards."""
    derived, engine = layouts().of(2), layouts("parallel.shard=2").of(2)
    assert engine.memory.temporary == pytest.approx(derived.memory.temporary, rel=0.01)
    assert engine.memory.weights == pytest.approx(derived.memory.weights, rel=0.01)
    assert sum(engine.traffic.gathers) == pytest.approx(sum(derived.traffic.gathers), rel=0.01)
    assert sum(engine.traffic.reduces) == pytest.approx(sum(derived.traffic.reduces), rel=0.01)


@pytest.mark.slow
def test_shards_of_one_process_are_what_the_engine_does_with_them() -> None:
    """It gathers nothing, and sums whole gradients over the replicas."""
    run = PlannedRun(resolved(*MODEL), Cluster(H200, 4))
    execution = ExecutionConfig(torch.device("cuda"), bf16=True, compiled=True)
    engine = simulate_step(run.components, run.denoiser, execution, world=4, shard=1, images=16, passes=1)
    derived = run.layouts().of(1)
    assert engine.traffic == Traffic()
    assert not derived.traffic.gathers
    assert sum(derived.traffic.reduces) == pytest.approx(engine.state_bytes, rel=0.01)
    assert derived.memory.temporary == pytest.approx(engine.peak_bytes - engine.state_bytes, rel=0.15)


def test_the_optimizer_exchanges_what_its_owners_do() -> None:
    """Bytes of one process of a real step of Muon, whose precision depends on the machine."""
    run = PlannedRun(resolved(*MODEL, "backbone.depth=4", "train.optimizer=muon"), Cluster(H200, 4))  # all own some
    execution = ExecutionConfig(torch.device("cuda"), bf16=True, compiled=True)
    with (
        fake_mesh(4, 4) as mesh,
        simulated(
            run.components, run.denoiser, execution, prepare=lambda network: shard_network(network, mesh)
        ) as denoiser,
    ):
        for parameter in denoiser.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer = build_optimizer(denoiser.network.network, run.train)
        with Exchanges() as mode:
            optimizer.step(0.1)
    planned = OptimizerWork.of(run.denoiser.network, run.train).traffic(4).exchanges
    assert tuple(2 * 4 * count for count in mode.counts) == planned


class Exchanges(TorchDispatchMode):
    """Records how many numbers this process sends to owners or gets back."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.c10d.alltoall_base_.default:
            self.counts.append(args[1].numel())
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
def test_more_devices_never_need_more_memory_each() -> None:
    found = [plan(count=count).predicted.memory.total for count in (1, 2, 8, 64)]
    assert found == sorted(found, reverse=True)


@pytest.mark.slow
def test_recomputation_saves_memory_and_costs_time() -> None:
    large = ("train.batch_size=4096",)
    kept, recomputed = (plan(*large, f"train.recompute={value}").predicted for value in ("false", "true"))
    assert recomputed.memory.temporary < kept.memory.temporary / 1.5
    assert recomputed.step.compute > kept.step.compute


@pytest.mark.slow
def test_passes_gather_again_but_reduce_once() -> None:
    large = ("train.batch_size=256", "parallel.shard=4")
    one, four = (plan(*large, f"train.accumulate={parts}") for parts in (1, 16))
    assert (one.images, one.passes, four.images, four.passes) == (64, 1, 16, 4)
    traffic, more = one.predicted.traffic, four.predicted.traffic
    assert more.gathered == pytest.approx(4 * traffic.gathered, rel=0.15)
    assert more.reduced == traffic.reduced
    assert plan(*large, "parallel.images=4").passes == 16


def test_the_images_of_a_pass_are_those_of_the_engine() -> None:
    for batch_size, accumulate, images in (
        (64, 1, "auto"),
        (60, 2, "auto"),
        (10, 1, "auto"),
        (64, 1, 5),
        (3, 1, "auto"),
    ):
        settings = (f"train.batch_size={batch_size}", f"train.accumulate={accumulate}", f"parallel.images={images}")
        run = PlannedRun(resolved(*MODEL, *settings), Cluster(H200, 4))
        with fake_mesh(4, 4):
            share = share_of(batch_size, accumulate, None if images == "auto" else images)
        assert (run.images, run.passes) == (share.size, share.num_passes)


@pytest.mark.slow
def test_images_that_devices_do_not_share_equally_are_padding() -> None:
    found = plan("train.batch_size=10")
    assert (found.images, found.passes) == (3, 1)
    assert "2 of 12 images of a step are padding" in found.notes[0]
    assert "padding" not in "".join(plan("train.batch_size=12").notes)


@pytest.mark.slow
def test_cost_is_linear_in_price(on_16: TrainingPlan) -> None:
    cost, double = on_16.predicted.cost, plan(count=16, price=6.0).predicted.cost
    assert cost is not None
    assert double is not None
    assert cost.per_day == 16 * 24 * 3
    for name, value in cost.model_dump().items():
        assert getattr(double, name) == pytest.approx(2 * value)
    assert cost.per_billion_tokens * on_16.predicted.tokens_per_day / 1e9 == pytest.approx(cost.per_day)
    assert plan().predicted.cost is None


def test_a_layout_that_fits_is_recommended(on_16: TrainingPlan) -> None:
    options = on_16.predicted.layouts
    assert [option.shard for option in options] == [1, 2, 4, 8, 16]
    assert all(option.shard * option.replicas == 16 for option in options)
    best = next(option for option in options if option.shard == on_16.recommended_shard)
    assert best.seconds <= 1.01 * min(option.seconds for option in options)
    fixed = plan("parallel.shard=16", count=16)
    assert (fixed.shard, fixed.recommended_shard) == (16, on_16.recommended_shard)


def test_the_plan_names_what_auto_chooses() -> None:
    """Replicas, as long as the state is small compared with a device; else one copy for each machine."""
    found = layouts()
    assert found.automatic.shard == 1
    memory = Figure(2.0 * found.of(1).memory.state, "assumed", "a test")
    cluster = Cluster(replace(H200, memory=memory, per_machine=2), 4)
    assert replace(found, cluster=cluster).automatic.shard == 2


def small_device(run: PlannedRun, layouts: Layouts, shard: int) -> Cluster:
    """Return the cluster with devices on which shards of this size just fit."""
    memory = Figure(layouts.of(shard).memory.total * 1.0001 / 0.92, "assumed", "a test")
    return replace(run.cluster, device=replace(run.cluster.device, memory=memory))


@pytest.mark.slow
def test_a_shard_that_is_too_small_is_refused_and_a_larger_one_recommended() -> None:
    components = resolved(*MODEL, "backbone.embed_dim=512", "parallel.shard=1")
    run = PlannedRun(components, Cluster(H200, 4))
    cluster = small_device(run, run.layouts(), 4)
    with pytest.raises(
        ManifestError, match=r"parallel.shard: found 16 images at once.*expected shards of 4, which fit"
    ):
        plan_training(components, cluster, Rates())
    chosen = resolved(*MODEL, "backbone.embed_dim=512")
    assert plan_training(chosen, cluster, Rates()).shard == 4


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_refused_and_what_fits_named() -> None:
    components = resolved(*MODEL, "train.batch_size=4096")
    run = PlannedRun(components, Cluster(H200, 4))
    cluster = small_device(run, PlannedRun(resolved(*MODEL, "train.batch_size=1024"), run.cluster).layouts(), 4)
    with pytest.raises(ManifestError, match=r"train.batch_size: found 1,024 images at once") as caught:
        plan_training(components, cluster, Rates())
    assert ManifestError.exit_code == 3
    most = int(str(caught.value).partition("parallel.images = ")[2].partition(")")[0])
    assert 200 < most <= 256
    fitting = resolved(*MODEL, "train.batch_size=4096", f"parallel.images={most}")
    assert plan_training(fitting, cluster, Rates()).images == most


def test_a_network_that_never_fits_is_refused() -> None:
    tiny = replace(H200, memory=Figure(1.0e9, "assumed", "a test"))
    with pytest.raises(ManifestError, match="not one image fits"):
        plan_training(resolved(*MODEL), Cluster(tiny, 4), Rates())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("parallel.shard=3", r"parallel.shard: found 3; expected a divisor of 4 devices, or auto"),
        ("train.precision=fp32", r"train.precision: found 'fp32'; expected bf16 or auto"),
        ("teacher.steps=4", r"teacher: found distillation; expected training from text"),
    ],
)
def test_what_cannot_be_planned_is_one_line(override: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        plan("sampler={use='euler', steps=4}", override)


@pytest.mark.slow
def test_a_large_model_on_64_devices() -> None:
    """Less than a minute of one core; bytes as in FSDP's documentation."""
    began = time.process_time()
    found = plan_training(open_recipe("jit-h4"), Cluster(H200, 64), Rates(3.0))
    assert time.process_time() - began < 60
    traffic = found.predicted.traffic
    assert traffic.reduced / traffic.weights == pytest.approx(1.0, abs=0.005)
    assert traffic.gathered / traffic.weights == pytest.approx(2.81, abs=0.02)
    assert found.predicted.memory.total < 10e9
