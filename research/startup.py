"""How long `jitkit --help` takes, from the start of the process to its end, and what it imports.

python research/startup.py
"""

import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPEATS = 15
JITKIT = str(Path(sys.executable).with_name("jitkit"))
COMMANDS = (["--help"], ["plugins", "list"], ["zoo", "list"])


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    print(f"{platform.processor() or platform.machine()}, {platform.system()}, Python {platform.python_version()}")
    print(f"{'command':28}{'median':>9}{'fastest':>9}   of {REPEATS}")
    for label, command in [
        ("python -c pass", [sys.executable, "-c", "pass"]),
        *((f"jitkit {' '.join(words)}", [JITKIT, *words]) for words in COMMANDS),
    ]:
        seconds(command)  # once for the file cache
        times = [seconds(command) for _ in range(REPEATS)]
        print(f"{label:28}{statistics.median(times):8.3f}s{min(times):8.3f}s")
    probe = "import sys, runpy; sys.argv = ['jitkit', '--help']\n"
    probe += "from jitkit.cli import main\ntry: main()\nexcept SystemExit: pass\nprint('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    print(f"jitkit --help imports torch: {done.stderr.strip()}")


if __name__ == "__main__":
    main()
