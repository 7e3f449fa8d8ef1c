"""Whether an error says that memory ran out, in whatever words. Torch-free."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from pokora_anime.errors import PokoraError

_NAMES = ("OutOfMemoryError", "OutOfMemory")  # torch's own, and those of other backends
_NUMBERS = {errno.ENOMEM}
_WINDOWS = {8, 14, 1455}  # ERROR_NOT_ENOUGH_MEMORY, ERROR_OUTOFMEMORY, ERROR_COMMITMENT_LIMIT
# What libraries raise as plain RuntimeErrors, OSErrors and others, lower case.
_WORDS = (
    "out of memory",  # CUDA, HIP, XPU, MPS, NCCL, Vulkan
    "out_of_memory",  # CUDA_ERROR_OUT_OF_MEMORY of the driver
    "outofmemory",
    "_alloc_failed",  # cuBLAS, cuDNN, cuSOLVER, cuSPARSE, cuFFT, rocBLAS
    "memoryallocation",  # cudaErrorMemoryAllocation
    "allocate memory",  # the CPU's allocator, mmap ("Cannot allocate memory"), safetensors
    "unable to allocate",  # numpy
    "failed to allocate",  # OpenCV, ONNX Runtime
    "insufficient memory",
    "not enough memory",  # the CPU's allocator on Windows
    "bad_alloc",  # C++
    "bad allocation",
    "invalid buffer size",  # MPS: one tensor is larger than a buffer may be
    "paging file is too small",  # Windows, while weights are mapped
    "memory allocation failed",
    "memory allocation failure",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, or what it was raised for, says that memory ran out.

    CUDA, cuBLAS and their kin, MPS, the CPU's allocator, numpy, the system. False for our own errors,
    which have told already.
    """
    return any(_says(one) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it: libraries wrap what they caught in errors of their own."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        if isinstance(following, PokoraError):
            return
        seen.add(id(following))
        yield following
        hidden = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or hidden


def _says(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ in _NAMES:
        return True
    if isinstance(error, OSError) and (error.errno in _NUMBERS or getattr(error, "winerror", 0) in _WINDOWS):
        return True
    if not isinstance(error, Exception):
        return False
    text = str(error).lower()
    return any(words in text for words in _WORDS)
