"""A server that runs jitkit commands for tests, each in a forked process: a tenth of a second in place of three."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


class CommandServer:
    """A running server. It ends when this process does. `without_torch` makes the import of torch fail in its commands."""

    def __init__(self, environment: Mapping[str, str], *, without_torch: bool = False) -> None:
        command = [sys.executable, "-m", "tests.command_server", *(["--without-torch"] if without_torch else [])]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self._process.communicate)  # closes its stdin, and waits for its end

    def run(self, arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run `jitkit ARGUMENTS` in the working folder of this process."""
        with tempfile.TemporaryDirectory() as folder:
            outputs = [Path(folder, name) for name in ("stdout", "stderr")]
            request = (list(arguments), os.getcwd(), [str(path) for path in outputs], dict(environment))  # noqa: PTH109
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            stdout, stderr = (path.read_text() for path in outputs)
        return subprocess.CompletedProcess(["jitkit", *arguments], code, stdout, stderr)


def serve() -> None:
    """Run a command for each line on stdin, and print its exit code."""
    from tests.forked import fork_command, import_everything

    if "--without-torch" in sys.argv:
        assert "torch" not in sys.modules
        sys.modules["torch"] = None  # type: ignore[assignment]
    else:
        import_everything()
    for line in sys.stdin:
        arguments, folder, (stdout, stderr), environment = json.loads(line)
        child = fork_command(arguments, Path(folder), (Path(stdout), Path(stderr)), environment)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
