"""The setting of the memory allocator that makes training on a CPU faster."""

import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
_LARGEST = (1 << 31) - 1


@cache
def keep_freed_memory() -> None:
    """Tell the GNU C library to keep freed memory for the next allocation.

    By default it returns large blocks to the operating system, so that each training step fetches
    all its activations again, page by page; this can take half of the time of a step. The setting
    holds for the whole process; its memory no longer shrinks, but its peak is the same. With other
    C libraries nothing is changed.

    References
    ----------
    mallopt(3), https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, _LARGEST)
        mallopt(_MMAP_THRESHOLD, _LARGEST)
