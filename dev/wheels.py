"""Installs a tool that dev/requirements.txt pins into the project's own venv, .local/venv."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tools import LOCAL, ROOT, Problem, lock, say

VENV = LOCAL / "venv"


def version(package: str) -> str:
    pins = (ROOT / "dev" / "requirements.txt").read_text(encoding="utf-8")
    pin = re.search(rf"^{re.escape(package)}==(\S+)", pins, re.MULTILINE)
    if not pin:
        raise Problem(f"dev/requirements.txt does not pin {package}")
    return pin.group(1)


def installed(package: str) -> Path | None:
    """The site-packages that holds the pinned version."""
    metadata = f"{package.replace('-', '_')}-{version(package)}.dist-info"
    found = next(VENV.glob(f"lib/python*/site-packages/{metadata}/RECORD"), None)
    return found.parent.parent if found else None


def install(package: str) -> Path:
    with lock("venv"):
        found = installed(package)
        if found:
            return found
        say(f"installing {package} {version(package)} into .local/venv")
        python = VENV / "bin" / "python"
        if not _works([str(python), "-m", "pip", "--version"]):
            # Also mends a venv whose Python was upgraded away, or that was left half made.
            if not _works([sys.executable, "-m", "venv", "--clear", str(VENV)]):
                raise Problem(f"{package} needs Python's venv module, which is missing (on Debian and Ubuntu: apt install python3-venv)")
        wanted = f"{package}=={version(package)}"
        options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet"]
        pip = subprocess.run(
            [str(python), "-m", "pip", "install", *options, wanted], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        found = installed(package)
        if pip.returncode or not found:
            lines = [line for line in pip.stderr.splitlines() if line.startswith("ERROR")] or ["no reason given"]
            raise Problem(f"pip could not install {wanted}: {lines[-1]}")
        return found


def _works(command: list[str]) -> bool:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
    except OSError:
        return False
