"""Hypothesis in several threads at once: one of them chooses while the others wait for answers.

Hypothesis reads the source of lambdas to describe them, and CPython 3.11 counts the depth of a
parse once for all threads: two that parse at the same time end in a SystemError.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_turn = threading.Lock()


@contextmanager
def choosing() -> Iterator[None]:
    """Around everything that runs Hypothesis."""
    with _turn:
        yield


@contextmanager
def sending() -> Iterator[None]:
    """Inside `choosing`, around requests: until they are answered others may choose."""
    _turn.release()
    try:
        yield
    finally:
        _turn.acquire()
