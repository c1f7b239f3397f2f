"""The C compiler: found, run, and its libraries kept on disk by the digest of their sources."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

FLAGS = (
    "-O2",
    "-march=native",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    "-std=gnu11",
    "-shared",
    "-fPIC",
)
"""No -ffast-math: loading such a library flushes subnormals in the whole process (GCC 12)."""


_DIGEST = hashlib.sha256().digest_size


class CompilerMissing(Exception):
    """There is no C compiler, or it does not make a library; the message says what is missing."""


@lru_cache(maxsize=1)
def compiler() -> tuple[str, ...] | None:
    """The command of a C compiler: `CC`, cc, gcc, clang, or the one in the ziglang wheel."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return (name,)
    if find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc")
    return None


def compiled(text: str) -> ctypes.CDLL:
    """The shared library of a C text, from the cache on disk where it is there.

    The cache is under `PUSHFORWARD_HOME`, else in the user's cache folder, and can be deleted.
    Where it cannot be written, a library lasts as long as the process, in a temporary folder.

    Raises:
        CompilerMissing: no compiler is found, or it fails.
    """
    command = compiler()
    if command is None:
        raise CompilerMissing("no C compiler is found; install cc, or pip install 'ziglang'")
    key = "\n".join([text, *command, *FLAGS, _identity(command)])
    path = cache_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.so"
    if not _is_whole(path):
        _compile(command, text, path)
    return ctypes.CDLL(str(path))


def _is_whole(path: Path) -> bool:
    """Whether a library is there as it was written: loading half a file could end the process.

    Its last bytes are a digest of those before.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content[-_DIGEST:] == hashlib.sha256(content[:-_DIGEST]).digest()


def cache_folder() -> Path:
    """Where compiled kernels are kept."""
    home = os.environ.get("PUSHFORWARD_HOME")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(home) / "kernels" if home else Path(cache) / "pushforward" / "kernels"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    return folder if writable else Path(_own_folder().name)


@lru_cache(maxsize=1)
def _own_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="pushforward-kernels-")


@lru_cache(maxsize=4)
def _identity(command: tuple[str, ...]) -> str:
    """The compiler's version and the processor that `-march=native` means."""
    version = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += next((line for line in lines if line.startswith("flags")), "")
    except OSError:
        pass
    return version.stdout + processor


def _compile(command: tuple[str, ...], text: str, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        source, made = Path(folder) / "kernel.c", Path(folder) / "kernel.so"
        source.write_text(text)
        done = subprocess.run(
            [*command, *FLAGS, str(source), "-o", str(made), "-lm"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            errors = [line.strip() for line in done.stderr.splitlines() if "error" in line]
            raise CompilerMissing(f"the C compiler {command[0]} fails: {(errors or ['?'])[0]}")
        content = made.read_bytes()
        made.write_bytes(content + hashlib.sha256(content).digest())
        os.replace(made, path)  # at once, so that another process never loads half a file
