"""Error handling shared by the command lines in `research/`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from jitkit.errors import JitkitError, Stopped


def run(name: str, main: Callable[[Sequence[str]], None]) -> None:
    """Call `main` with the command line. Errors print one line per problem and exit with the same codes as `jitkit`."""
    try:
        main(sys.argv[1:])
    except Stopped as stopped:
        print(f"{name}: {stopped.problems[0].hint}", file=sys.stderr)
        sys.exit(stopped.code)
    except JitkitError as error:
        print("\n".join(f"{name}: error: {problem}" for problem in error.problems), file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(130)
