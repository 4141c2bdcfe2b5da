"""Clusters, the time of collective operations on them, and checkpoints of runs that fail."""

from __future__ import annotations

import pytest

from jitkit.errors import UsageError
from jitkit.plan.checkpoints import Saving
from jitkit.plan.cluster import Cluster
from jitkit.plan.devices import DEVICES, Device
from jitkit.plan.traffic import Traffic, Wire

H200 = DEVICES["h200"]


@pytest.mark.parametrize(
    ("text", "count", "name"), [("8xh200", 8, "h200"), ("h100", 1, "h100"), (" 16 x A100 ", 16, "a100")]
)
def test_a_count_and_a_device_make_a_cluster(text: str, count: int, name: str) -> None:
    assert Cluster.parse(text) == Cluster(DEVICES[name], count)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8xh20", r"--on: found device 'h20'; expected one of h200, .*Did you mean h200\?"),
        ("8xtpu", r"device 'tpu'; expected one of"),
        ("0xh200", "found 0 devices; expected 1 to 16,384"),
        ("999999xh200", "found 999999 devices"),
        ("8h200", "found '8h200'; expected a number and a device"),
        ("xh200", "device 'xh200'.*Did you mean h200"),
        ("-8xh200", "found '-8xh200'"),
        ("8x", "found '8x'"),
        ("", "found ''"),
        ("٨xh200", "a number and a device"),
        ("8xh200\x1b[31m", "a number and a device"),
        ("9" * 500 + "xh200", "a number and a device"),
    ],
)
def test_other_texts_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Cluster.parse(text)
    assert len(caught.value.lines()) == 1
    assert UsageError.exit_code == 2


@pytest.mark.parametrize("device", DEVICES.values(), ids=list(DEVICES))
def test_every_number_of_a_device_has_a_source(device: Device) -> None:
    for figure in device.figures().values():
        assert figure.value > 0
        assert figure.source
    assert device.products.value <= device.peak.value


def test_groups_are_neighbors_first() -> None:
    cluster = Cluster(H200, 64)
    shapes = {shard: (cluster.shard_group(shard), cluster.replica_group(shard)) for shard in cluster.shards()}
    for shard, (shards, replicas) in shapes.items():
        assert shards.size * replicas.size == 64
        assert shards.machines == max(1, shard // 8)
        assert replicas.machines == min(8, 64 // shard)


def test_time_grows_with_bytes_devices_and_machines() -> None:
    def seconds(count: int, num_bytes: float) -> float:
        return Wire(Cluster(H200, count), count).gather_seconds(num_bytes)

    assert seconds(1, 1e9) == 0
    assert seconds(8, 1e9) < seconds(8, 2e9) < 2.01 * seconds(8, 1e9)
    assert seconds(2, 1e9) < seconds(8, 1e9) < seconds(16, 1e9) < seconds(128, 1e9)
    assert seconds(8, 1e9) == pytest.approx(1e9 * 7 / 8 / H200.link.value, rel=0.05)


def test_one_device_of_each_machine_has_only_its_own_port() -> None:
    wire = Wire(Cluster(H200, 64), 8)
    within, between = wire.gather_seconds(8e9), wire.reduce_seconds(8e9)
    assert between - within == pytest.approx(2 * 1e9 * 7 / 8 / H200.network.value, rel=0.05)


def test_traffic_adds_up() -> None:
    one = Traffic(gathers=(1, 2), reduces=(3,))
    assert one * 2 + Traffic(exchanges=(4,)) == Traffic((1, 2, 1, 2), (3, 3), (4,))


def test_the_interval_loses_the_least_time() -> None:
    saving = Saving.of(10**10, writers=8, count=64, write_rate=0.5e9, mtbf_hours=1000)
    assert saving.seconds == pytest.approx(2.5)
    assert saving.failure_seconds == pytest.approx(1000 * 3600 / 64)

    def lost(interval: float) -> float:
        return saving.seconds / interval + interval / (2 * saving.failure_seconds)

    assert lost(saving.interval) == pytest.approx(saving.lost)
    assert saving.lost < min(lost(0.8 * saving.interval), lost(1.25 * saving.interval))
    often = Saving.of(10**10, writers=8, count=64, write_rate=0.5e9, mtbf_hours=10)
    assert often.interval == pytest.approx(saving.interval / 10)
