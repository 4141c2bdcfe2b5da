"""How long a training step takes next to one busy process, for several ways in which threads wait for each other.

``python -m research.busy_neighbor default 1000 passive`` compares values of GOMP_SPINCOUNT: "default" is libgomp's own, and
"passive" is OMP_WAIT_POLICY=passive. Each setting runs in a process of its own, by turns, with and without the neighbor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from statistics import median

STEP = """
import sys, time, torch
from statistics import median
from jitkit.execution.cpu_tuning import denormals_are_zero
from jitkit.recipe import open_recipe
from jitkit.training.setup import build_setup
from jitkit.training.state import State
from jitkit.training.step import train_step
from jitkit.training.tasks.denoising import DenoisingTask, Prefetcher

components = open_recipe("jit-nano", overrides=["train.compile=off", "train.precision=fp32"])
setup = build_setup(components, torch.device("cpu")).with_network().with_runtime(print)
denoiser, schedule = setup.pipeline.denoiser, setup.pipeline.denoiser.schedule
state = State.new(setup.pipeline.network, setup.train, schedule)
batches = Prefetcher.of_training(setup.batch, schedule, setup.device)
task = DenoisingTask(setup.train, denoiser, batches, torch.zeros(1, 64, dtype=torch.int64), setup.device)
times = []
with denormals_are_zero():
    for _ in range(12):
        start = time.perf_counter()
        train_step(task, state, setup.train, setup.plan)
        times.append(time.perf_counter() - start)
print(median(times[2:]))
"""
VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
LIBGOMP_SPINS = "300000"


def step_seconds(setting: str) -> float:
    """Return the median time of ten training steps in a new process."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    if setting == "passive":
        environment["OMP_WAIT_POLICY"] = "passive"
    else:
        environment["GOMP_SPINCOUNT"] = LIBGOMP_SPINS if setting == "default" else setting
    done = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="+")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    quiet, busy = ({setting: list[float]() for setting in arguments.settings} for _ in range(2))
    for _ in range(arguments.rounds):
        for setting in arguments.settings:
            quiet[setting].append(step_seconds(setting))
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbor:
            time.sleep(1)
            for setting in arguments.settings:
                busy[setting].append(step_seconds(setting))
            neighbor.kill()
    for setting in arguments.settings:
        alone, beside = median(quiet[setting]), median(busy[setting])
        sys.stdout.write(f"{setting:8} quiet {alone:.3f} s, busy {beside:.3f} s: {beside / alone:.2f} times as long\n")


if __name__ == "__main__":
    main()
