"""NVRTC through ctypes: it compiles CUDA C++ to machine code on a machine without a device."""

import ctypes
import re
import site
import sysconfig
from ctypes.util import find_library
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

MISSING = "NVRTC is not installed; pip install nvidia-cuda-nvrtc-cu12"


@lru_cache(maxsize=1)
def nvrtc():
    """The library of a wheel (nvidia-cuda-nvrtc-cu12, nvidia-cuda-nvrtc), the system's, or None."""
    folders = {Path(p) for p in (*site.getsitepackages(), sysconfig.get_path("purelib"))}
    found = [p for f in folders for p in sorted(f.glob("nvidia/*/lib/libnvrtc.so.*"))]
    names = [*map(str, found), *filter(None, [find_library("nvrtc")])]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


@dataclass(frozen=True)
class Usage:
    """What ptxas says of one kernel."""

    registers: int
    spilled_bytes: int
    stack_bytes: int
    shared_bytes: int


def compiled(text, architecture, what):
    """The bytes that NVRTC makes ("CUBIN" or "PTX") and its log; AssertionError with its errors."""
    library, program = nvrtc(), ctypes.c_void_p()
    assert library is not None, MISSING
    name = text.encode(), b"kernel.cu"
    assert not library.nvrtcCreateProgram(ctypes.byref(program), *name, 0, None, None)
    real = f"sm_{architecture}" if what == "CUBIN" else f"compute_{architecture}"
    # CuPy adds `-ftz=true` to what it is given.
    options = [f"--gpu-architecture={real}", "--std=c++17", "--ptxas-options=-v", "--ftz=true"]
    array = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    failed = library.nvrtcCompileProgram(program, len(options), array)
    log = _read(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program).decode()
    assert not failed, log[:4000]
    made = _read(
        getattr(library, f"nvrtcGet{what}Size"), getattr(library, f"nvrtcGet{what}"), program
    )
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return made, log


def _read(size, get, program):
    length = ctypes.c_size_t()
    assert not size(program, ctypes.byref(length))
    buffer = ctypes.create_string_buffer(length.value)
    assert not get(program, buffer)
    return buffer.raw.rstrip(b"\0")


def usage(text, architecture):
    """Registers, spills, stack and shared memory of every kernel, by name."""
    made, log = compiled(text, architecture, "CUBIN")
    assert made.startswith(b"\x7fELF")
    found = {}
    for part in log.split("Compiling entry function '")[1:]:
        numbers = {
            key: sum(map(int, re.findall(pattern, part)))
            for key, pattern in {
                "registers": r"Used (\d+) registers",
                "spilled_bytes": r"(\d+) bytes spill stores",
                "stack_bytes": r"(\d+) bytes stack frame",
                "shared_bytes": r"(\d+) bytes smem",
            }.items()
        }
        found[part.partition("'")[0]] = Usage(**numbers)
    return found


def double_instructions(text, architecture=80):
    """The lines of the PTX that name a double."""
    ptx, _ = compiled(text, architecture, "PTX")
    return [line for line in ptx.decode().splitlines() if re.search(r"\.f64\b", line)]
