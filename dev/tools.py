"""What the scripts in dev/ share: where things are, progress lines, locks, signals, and errors of one line."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Callable, Iterator

if sys.version_info < (3, 9):
    sys.exit("Python 3.9 or newer is needed; this one is %d.%d" % sys.version_info[:2])

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
# What a process may take to end before it is killed.
END_LIMIT = 5.0

# rustup's folder is not in PATH until the next login.
os.environ["PATH"] = os.environ.get("PATH", os.defpath) + os.pathsep + os.path.expanduser("~/.cargo/bin")
# cargo would look for the jobserver of make -j, which recipes do not hand on.
for name in ("MAKEFLAGS", "MFLAGS"):
    os.environ.pop(name, None)


class Problem(Exception):
    """What the user can mend: its text is the one line they see."""


class Stop(BaseException):
    """A signal asked this process to end. Not an Exception, so that nothing takes it for an error."""

    def __init__(self, number: int) -> None:
        self.number = number


def main(command: Callable[[list[str]], int]) -> None:
    """Runs a script: a problem is one line and exit 1, an interruption exit 130, neither a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        sys.exit(command(sys.argv[1:]))
    except (Problem, OSError) as error:
        sys.exit(str(error))
    except Stop:
        sys.exit(130)


def _stop(number: int, _frame: Any) -> None:
    raise Stop(number)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keeps a second ctrl-C from cutting short the cleaning up after the first."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def say(text: str) -> None:
    """Progress goes to stderr: stdout belongs to results, such as a URL or a token."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Prints the name of a stage before it and its time after it."""
    say(f"== {name} ...")
    began = time.monotonic()
    outcome = "failed after "
    try:
        yield
        outcome = ""
    except Stop:
        outcome = "interrupted after "
        raise
    finally:
        say(f"== {name}: {outcome}{time.monotonic() - began:.1f} s")


@contextmanager
def lock(name: str, mode: int = fcntl.LOCK_EX, waiting: str = "") -> Iterator[IO[str]]:
    """Holds .local/NAME.lock; the system releases it however this process ends."""
    LOCAL.mkdir(exist_ok=True)
    with open(LOCAL / f"{name}.lock", "a", encoding="utf-8") as file:
        if waiting and not try_lock(file, mode):
            say(waiting)
        fcntl.flock(file, mode)
        yield file


def try_lock(file: IO[str], mode: int) -> bool:
    try:
        fcntl.flock(file, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def call(*command: str, env: dict[str, str] | None = None) -> None:
    """Runs a command; an interruption ends it with all that it started, such as the servers of a test."""
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        process.wait()
    except Stop:
        with uninterrupted():
            end_session(process)
        raise
    if process.returncode:
        raise Problem(f"failed: {' '.join(command)}")


@contextmanager
def beside(*command: str, env: dict[str, str]) -> Iterator[None]:
    """Runs a command while the body does its work. What it prints comes at the end."""
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
            process.wait()
        finally:
            if process.poll() is None:
                with uninterrupted():
                    end_session(process)
            printed.seek(0)
            say(printed.read().decode(errors="replace").rstrip())
    if process.returncode:
        raise Problem(f"failed: {' '.join(command)}")


def end_process(process: subprocess.Popen[bytes], limit: float) -> None:
    """Asks it to end, and kills it if it has not after so many seconds."""
    with uninterrupted():
        process.terminate()
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that began a session of its own, and all that is in it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            return


def need_rust() -> None:
    """Says what is missing before cargo says it at length."""
    if not shutil.which("cargo"):
        raise Problem("Rust is missing: https://rustup.rs")
    if not any(shutil.which(compiler) for compiler in (os.environ.get("CC") or "cc", "cc", "gcc", "clang")):
        raise Problem("a C compiler is missing (on Debian and Ubuntu: apt install gcc libc6-dev; on macOS: xcode-select --install)")
