"""Running commands, and reporting how long a step took."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

from lab.errors import LabError

CACHE = Path(os.environ.get("DISCOVERY_LAB_CACHE") or Path.home() / ".cache/fewnodes.discovery/lab")


def run(
    *command: str | Path, stdin: bytes | None = None, env: dict | None = None, cwd: Path | None = None,
    timeout: float | None = None,
) -> str:  # fmt: skip
    """Run a command and return what it printed.

    :param command: the program and its arguments
    :param stdin: bytes to feed it
    :param env: variables to add to the environment
    :param timeout: seconds after which it is killed; None waits as long as it takes
    :raises LabError: it could not be started, took too long or ended with another code than 0; carries its last lines
    """
    try:
        done = subprocess.run(
            list(map(str, command)), input=stdin, capture_output=True, check=False, cwd=cwd, env=os.environ | (env or {}),
            timeout=timeout,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed; 'make system' installs what the lab needs") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"'{' '.join(map(str, command[:4]))} …' did not end within {timeout:.0f} s") from error
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-15:])
        raise LabError(f"'{' '.join(map(str, command[:4]))} …' ended with {done.returncode}:\n{tail}")
    return done.stdout.decode()


def succeeds(*command: str | Path) -> bool:
    """Whether a command ends with 0; its output is dropped."""
    return subprocess.run([str(part) for part in command], capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def step(text: str):
    """Print what is being done, and the seconds it took."""
    print(f"lab: {text} …", flush=True)
    start = time.monotonic()
    yield
    seconds = time.monotonic() - start
    if seconds >= 1:
        print(f"lab: {text}: {seconds:.0f} s", flush=True)


def wait_for(condition, seconds: float, what: str) -> None:
    """Poll a condition until it holds.

    :param condition: called without arguments; a true value ends the wait
    :param seconds: the bound
    :raises LabError: the bound has passed
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"{what} did not come up within {seconds:.0f} s")
        time.sleep(0.2)
