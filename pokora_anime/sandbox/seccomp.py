"""No network for this thread and all that it starts: a seccomp filter refuses every socket but unix ones.

Landlock cuts TCP only; this cuts UDP and raw sockets too, and works on kernels without Landlock. The
numbers are those of linux/seccomp.h, linux/bpf_common.h and linux/audit.h.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from pokora_anime.sandbox.landlock import no_new_privileges

_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data, little endian
_AF_UNIX = 1
_IO_URING_SETUP = 425  # it opens sockets without the system call
_X32 = 0x40000000  # the other numbering of x86-64's system calls


@dataclass(frozen=True, slots=True)
class _Machine:
    """What identifies an architecture, and its number of socket(2)."""

    architecture: int
    socket: int


_MACHINES = {"x86_64": _Machine(0xC000003E, 41), "aarch64": _Machine(0xC00000B7, 198)}


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def offered() -> bool:
    """Whether the filter is known for this system; some containers refuse it all the same."""
    return sys.platform == "linux" and sys.maxsize > 2**32 and platform.machine() in _MACHINES


def refuse_sockets() -> bool:
    """Whether network sockets are refused from now on; False where this system offers no filter."""
    return offered() and _install(_instructions(_MACHINES[platform.machine()]))


def _install(instructions: Sequence[tuple[int, int, int, int]]) -> bool:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    program = _Program(len(code) // 8, code)
    no_new_privileges()
    zero = ctypes.c_ulong(0)
    library = ctypes.CDLL(None, use_errno=True)
    mode = ctypes.c_ulong(_MODE_FILTER)
    return library.prctl(ctypes.c_int(_SET_SECCOMP), mode, ctypes.byref(program), zero, zero) == 0


def _instructions(machine: _Machine) -> list[tuple[int, int, int, int]]:
    """(code, jump if true, jump if false, operand); jumps count the instructions left out."""
    return [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 0, 7, machine.architecture),
        (_LOAD_WORD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, 5, 0, _X32),
        (_JUMP_EQUAL, 4, 0, _IO_URING_SETUP),
        (_JUMP_EQUAL, 0, 2, machine.socket),
        (_LOAD_WORD, 0, 0, _FIRST_ARGUMENT),
        (_JUMP_EQUAL, 0, 1, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
