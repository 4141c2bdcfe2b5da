"""A program `jitkit` for shells, which lets a server fork, and starts in a twentieth of a second in place of three."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUEST = 1 << 20  # bytes

CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [request], [1, 2])
    sys.exit(int(server.recv(16)))
"""


@contextmanager
def shell_program(environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield a folder with a program `jitkit`, which works as long as this context lasts, and for one command at a time."""
    with tempfile.TemporaryDirectory() as folder:  # the address of a socket is short
        address, program = Path(folder, "socket"), Path(folder, "bin", "jitkit")
        program.parent.mkdir()
        program.write_text(CLIENT.format(python=sys.executable, address=str(address)))
        program.chmod(0o755)
        command = [sys.executable, "-m", "tests.shell_server", str(address)]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == b"ready\n"
                yield program.parent
            finally:
                server.terminate()


def serve(address: str) -> None:
    """Run the command of each connection, and send its exit code."""
    from tests.forked import fork_command, import_everything

    import_everything()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)
        while True:
            with server.accept()[0] as connection:
                request, (stdout, stderr), *_ = socket.recv_fds(connection, REQUEST, 2)
                arguments, folder, environment = json.loads(request)
                child = fork_command(arguments, Path(folder), (stdout, stderr), environment)
                os.close(stdout), os.close(stderr)
                code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                connection.sendall(str(code % 256).encode())


if __name__ == "__main__":
    serve(sys.argv[1])
