"""The uploaded images of a job: `<root>/<jobId>/image1` and `image2` until the job is done.

Paths are made of the server's own job ids and these two names; nothing a client sent is
ever part of a path.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from onejob_reference.errors import JobDirFailed, SaveFailed
from onejob_reference.job_id import is_job_id

NAMES = ("image1", "image2")
_COPY_BUFFER = 256 * 1024


class Uploads:
    """Images waiting for their job, below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def paths(self, job_id: str) -> tuple[Path, Path]:
        """Where the two images of the job are."""
        folder = self._root / job_id
        return folder / NAMES[0], folder / NAMES[1]

    def save(self, job_id: str, images: tuple[BinaryIO, BinaryIO]) -> None:
        """Keep both images. Raises JobDirFailed or SaveFailed, and then leaves no file behind."""
        folder = self._root / job_id
        try:
            folder.mkdir(mode=0o700)
        except OSError as failure:
            raise JobDirFailed(failure.strerror or "no reason given") from failure
        try:
            for path, image in zip(self.paths(job_id), images, strict=True):
                with path.open("wb", buffering=0) as file:
                    shutil.copyfileobj(image, file, _COPY_BUFFER)
        except OSError as failure:
            self.remove(job_id)
            raise SaveFailed(failure.strerror or "no reason given") from failure

    def left_since(self, moment: float) -> list[str]:
        """Return the job ids whose folders have not changed since `moment` (seconds since 1970)."""
        found = []
        with os.scandir(self._root) as entries:
            for entry in entries:
                if is_job_id(entry.name) and entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        if entry.stat(follow_symlinks=False).st_mtime <= moment:
                            found.append(entry.name)
        return found

    def remove(self, job_id: str) -> None:
        """Remove what is left of the job's images; a folder with foreign files in it stays."""
        with suppress(OSError):  # a disk that fails now is swept later
            for path in self.paths(job_id):
                path.unlink(missing_ok=True)
            (self._root / job_id).rmdir()
