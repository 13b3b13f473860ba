"""Whose clock stamps: processes may share sessions only where one monotonic clock times them."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def clock_name() -> str:
    """Give a short name of this machine since its last start, the same in all its processes.

    Elsewhere than on Linux a monotonic clock need not be shared by processes, so there each
    process counts as a machine of its own.
    """
    try:
        identity = _BOOT_ID.read_text("ascii")
    except OSError:
        identity = f"{socket.gethostname()}/{os.getpid()}"
    return hashlib.blake2b(identity.encode(), digest_size=3).hexdigest()
