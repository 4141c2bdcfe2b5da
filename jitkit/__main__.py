"""The command `jitkit`, and `python -m jitkit` for environments whose scripts are not on the path."""

import signal
import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it without a traceback also while its modules are imported."""
    try:
        from jitkit.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
