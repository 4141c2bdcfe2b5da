"""The launch files in `examples/cluster/` fit the tools that read them, and the commands in them are valid."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from jitkit.cli import build_app
from jitkit.discovery.loader import create_plugin_manager

FOLDER = Path(__file__).parents[2] / "examples" / "cluster"
SBATCH, SKY, TRAINJOB = FOLDER / "slurm.sbatch", FOLDER / "sky.yaml", FOLDER / "trainjob.yaml"


def read_yaml(path: Path) -> Any:
    yaml = pytest.importorskip("yaml", reason="needs PyYAML")
    return yaml.safe_load(path.read_text())


def torchrun_in(script: str) -> list[str]:
    """Return the arguments of torchrun in a shell script, with numbers in the place of variables."""
    (command,) = re.findall(r"\btorchrun (?=--|\\\n)((?:.*\\\n)*.*)", script)
    command = command.replace("\\\n", " ").replace('"$@"', "jit-nano")
    return shlex.split(re.sub(r"\$\{\w+:-(\w+)\}|\$\w+", lambda found: found[1] or "2", command))


def check(arguments: list[str]) -> None:
    """Check that torchrun and `jitkit train` accept the arguments, and that a run restarts and continues."""
    from torch.distributed.run import get_args_parser

    launcher = get_args_parser().parse_args(arguments)
    assert (launcher.module, launcher.training_script) == (True, "jitkit")
    assert launcher.max_restarts == 3
    assert launcher.shutdown_timeout >= 100
    name, *options = launcher.training_script_args
    group = typer.main.get_command(build_app(create_plugin_manager()))
    context = group.make_context("jitkit", [name, *options], resilient_parsing=True)
    _, command, words = group.resolve_command(context, [name, *options])
    assert command.make_context("train", words).params["resume"] == "auto"


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
def test_the_batch_script_passes_shellcheck() -> None:
    found = subprocess.run(["shellcheck", str(SBATCH)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_the_commands_are_valid() -> None:
    check(torchrun_in(SBATCH.read_text()))
    check(torchrun_in(read_yaml(SKY)["run"]))
    trainer = read_yaml(TRAINJOB)["spec"]["trainer"]
    assert trainer["command"] == ["torchrun"]
    check(trainer["args"])


def test_slurm_leaves_time_to_save() -> None:
    text = SBATCH.read_text()
    (grace,) = re.findall(r"--signal=TERM@(\d+)", text)
    (shutdown,) = re.findall(r"--shutdown-timeout (\d+)", text)
    assert int(shutdown) < int(grace)


def test_kubernetes_leaves_time_to_save() -> None:
    spec = read_yaml(TRAINJOB)["spec"]
    (patch,) = spec["runtimePatches"]
    (job,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = job["template"]["spec"]["template"]["spec"]
    (shutdown,) = [word for word in spec["trainer"]["args"] if word.startswith("--shutdown-timeout=")]
    assert int(shutdown.partition("=")[2]) < pod["terminationGracePeriodSeconds"]


def test_sky_yaml_fits_the_schema_of_skypilot() -> None:
    schemas = pytest.importorskip("sky.utils.schemas", reason="needs skypilot, which has a hundred dependencies")
    jsonschema = pytest.importorskip("jsonschema")
    task = read_yaml(SKY)
    jsonschema.validate(task, schemas.get_task_schema())
    jsonschema.validate(task["resources"], schemas.get_resources_schema())
    jsonschema.validate(task["file_mounts"]["/runs"], schemas.get_storage_schema())


def test_trainjob_yaml_fits_the_models_of_kubeflow() -> None:
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="needs kubeflow-trainer-api")
    document = read_yaml(TRAINJOB)
    assert models.TrainerV1alpha1TrainJob.from_dict(document).to_dict() == document, "unknown keys are dropped"
