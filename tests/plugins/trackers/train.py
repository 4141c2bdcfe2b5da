"""Train in a process of its own: python -m tests.plugins.trackers.train JSON, with keys of `Lab.train`, `stop` and `number`."""

import json
import sys
from pathlib import Path

from tests.training_lab import Lab, StopAt

if __name__ == "__main__":
    request = json.loads(sys.argv[1])
    lab = Lab(Path())
    stop = (StopAt(request["stop"], request["number"]),) if "stop" in request else ()
    resume = request.get("resume")
    try:
        lab.train(
            "run", *request["overrides"], plugins=stop, resume=resume if resume in (None, "auto") else Path(resume)
        )
    finally:
        print(lab.output(), file=sys.stderr)
