"""Faults for tests: fail or crash exactly at one point of a write.

``JITKIT_FAULT=FILE:STAGE[:N][:ERRNO]`` makes this process kill itself with SIGKILL at a point, or raise OSError with ERRNO
("ENOSPC", "EIO", ...). FILE is a file name, where ``*`` stands for any characters; STAGE is one of `STAGES`. With N, only the
N-th time that the point is reached counts, from 1; without it, every time. Examples::

    JITKIT_FAULT=checkpoint_epoch_3.pth:before-replace jitkit train ...
    JITKIT_FAULT='*:write:ENOSPC' jitkit data prepare ...
    JITKIT_FAULT=metrics.jsonl:write:7:EIO jitkit train ...
"""

from __future__ import annotations

import errno
import os
import re
import signal
from fnmatch import fnmatchcase

from jitkit.errors import UsageError, shown

STAGES = {
    "create": "before the temporary file is created",
    "write": "after the first half of the bytes of a call",
    "before-fsync": "when all bytes are written",
    "after-fsync": "when they are on the disk",
    "before-replace": "before the temporary file gets its name",
    "after-replace": "when it has its name",
    "folder-fsync": "before its name is on the disk",
    "delete": "before the file is deleted",
}
VARIABLE = "JITKIT_FAULT"
_SETTING = re.compile(rf"(?P<file>.+):(?P<stage>{'|'.join(STAGES)})(:(?P<number>[1-9]\d*))?(:(?P<errno>E[A-Z0-9]+))?")
_reached: dict[str, int] = {}


def fault_point(name: str) -> None:
    """Fail or crash here if ``JITKIT_FAULT`` requests it. `name` is "FILE:STAGE".

    Raises the OSError that the variable names, and UsageError if it has a typo.
    """
    setting = os.environ.get(VARIABLE)
    if setting is None:
        return
    parts = _SETTING.fullmatch(setting)
    if parts is None or (parts["errno"] and not hasattr(errno, parts["errno"])):
        expected = f"FILE:STAGE[:N][:ERRNO] with a stage of {', '.join(STAGES)}"
        raise UsageError(shown(setting), expected, field=VARIABLE)
    file, _, stage = name.rpartition(":")
    assert stage in STAGES, name
    if stage != parts["stage"] or not fnmatchcase(file, parts["file"]):
        return
    _reached[setting] = _reached.get(setting, 0) + 1
    if parts["number"] and _reached[setting] != int(parts["number"]):
        return
    if not parts["errno"]:
        os.kill(os.getpid(), signal.SIGKILL)
    number = getattr(errno, parts["errno"])
    raise OSError(number, os.strerror(number), file)
