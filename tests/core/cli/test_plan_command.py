"""`jitkit plan`: one document with everything, one table for people, and errors in one line."""

from __future__ import annotations

import json
import subprocess

import pytest

from jitkit.documents.plan import TrainingPlan
from tests.core.cli.conftest import run
from tests.tiny import TINY

pytestmark = pytest.mark.slow


@pytest.fixture
def plan(tmp_path):
    """Return a function that plans the tiny model."""
    (tmp_path / "tiny.toml").write_text(TINY)

    def plan(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run("plan", tmp_path / "tiny.toml", *arguments)

    return plan


def test_the_document_has_every_number_and_its_basis(plan) -> None:
    done = plan("--on", "16xh100", "--price", "2.5", "--mtbf", "1000", "--write", "2", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    found = TrainingPlan.model_validate(document)
    assert (found.id, found.device, found.devices, found.machines) == ("tiny", "h100", 16, 2)
    constants = {constant.name: constant for constant in found.constants}
    assert (constants["mtbf_hours"].value, constants["mtbf_hours"].source) == (1000, "--mtbf")
    assert constants["write_rate"].value == 2e9
    assert constants["peak"].basis == "specified"
    assert found.predicted.cost is not None
    assert found.predicted.cost.run is not None  # the manifest has max_steps
    assert found.predicted.checkpoint.failure_seconds == 1000 * 3600 / 16


def test_people_see_what_is_predicted_and_what_is_measured(plan) -> None:
    done = plan("--on", "h200", "--set", "train.optimizer=muon")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tiny, ")
    assert lines[1].split() == ["predicted"]
    assert "recommended" in done.stdout
    assert [line.split()[3] for line in lines if line.startswith(("products", "copies"))] == ["measured", "measured"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--on", "8xh20"), 2, "--on: found device 'h20'; expected one of"),
        (("--on", "0xh200"), 2, "--on: found 0 devices; expected 1 to 16,384."),
        (("--on", "h200", "--price", "inf"), 2, "--price: found inf; expected a finite number."),
        (("--on", "h200", "--mtbf", "0"), 2, "--mtbf"),
        (
            ("--on", "8xh200", "--set", "parallel.shard=3"),
            3,
            "parallel.shard: found 3; expected a divisor of 8 devices",
        ),
        (
            ("--on", "8xl40s", "--set", "train.batch_size=100000000"),
            3,
            "train.batch_size: found 12,500,000 images at once",
        ),
        ((), 2, "--on"),
    ],
    ids=str,
)
def test_errors_are_one_line(plan, arguments, code: int, message: str) -> None:
    done = plan(*arguments)
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("jitkit: error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert not done.stdout
