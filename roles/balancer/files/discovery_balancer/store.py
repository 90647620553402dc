"""Files under /var/lib/discovery-balancer.

catalog.json            written by consul-template
generations/<n>/        the balancer's files and about.json; never changed once `current` points to it
current                 link to the generation in use, swapped by rename
candidate/              the tree that is tested before the link moves
status.json             the result of the last run; while nothing can be written here, the spare file
past                    which catalog.json may be of the past
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import time

from discovery_program.replaced import identity

LOCK_SECONDS = 45  # longer than a sync that works; the resident program may be silent for 120
LOCK_PAUSE = 0.05  # seconds between two attempts
STATUS_SECONDS = 5  # a change of the status takes milliseconds


@dataclasses.dataclass(frozen=True)
class Generation:
    path: pathlib.Path
    marker: str
    ports: frozenset  # as in Plan.ports
    balancer: str = ""  # the backend that it is for; "" of an earlier version

    @property
    def number(self):
        return int(self.path.name)


class Store:
    def __init__(self, root, spare=None):
        """
        :param root: the directory
        :param spare: a file on another file system, for the status when this one is full
        """
        self.root = pathlib.Path(root)
        self.spare = spare and pathlib.Path(spare)
        self.candidate = self.root / "candidate"
        self.link = self.root / "current"
        self.status_file = self.root / "status.json"
        self.directory = self.root / "generations"

    @contextlib.contextmanager
    def locked(self, patience=None):
        """One run at a time. A lock ends with its process, so who has it for long hangs, or is stopped.

        :param patience: seconds, LOCK_SECONDS by default
        :raises OSError: another run has it for longer
        """
        with open(self.root / "lock", "w", encoding="ascii") as lock:
            _lock(lock, LOCK_SECONDS if patience is None else patience, lock.name)
            yield

    @contextlib.contextmanager
    def status_held(self):
        """One change of the status at a time, from reading it to writing it, whoever has the lock of a sync. The directory itself
        is locked: that needs no file, for which a full disk may have no place.

        :raises OSError: another run has it for longer than STATUS_SECONDS
        """
        directory = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _lock(directory, STATUS_SECONDS, self.root)
            yield
        finally:
            os.close(directory)

    def catalog(self):
        """consul-template's file as it is; None when it has not been written yet.

        :raises ValueError: it is no catalog
        """
        try:
            with open(self.root / "catalog.json", encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mode & 0o007:  # from before; consul-template leaves an unchanged file alone
                    os.fchmod(file.fileno(), 0o640)
                catalog = json.load(file)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"consul-template's catalog.json is not JSON ({error}): is its template broken?") from None
        if not isinstance(catalog, dict):
            raise ValueError("consul-template's catalog.json is no catalog: is its template broken?")
        return catalog

    def write_catalog(self, text: str):
        """Write it in place of consul-template."""
        _replace(self.root / "catalog.json", text)

    def catalog_identity(self):
        """What tells consul-template's file from one of before; None without it."""
        return identity(self.root / "catalog.json")

    def distrust_catalog(self):
        """Remember that the file of now may be of the past, until another one is there."""
        if not self.distrusts_catalog():  # asked twice a second while there is no leader
            _replace(self.root / "past", str(self.catalog_identity()))

    def trust_catalog(self):
        """The file of now is not of the past."""
        (self.root / "past").unlink(missing_ok=True)

    def distrusts_catalog(self) -> bool:
        """Whether the file of now is one that may be of the past."""
        try:
            return (self.root / "past").read_text() == str(self.catalog_identity())
        except OSError:
            return False

    def generations(self) -> list:
        """All complete generations, oldest first."""
        found = []
        for path in self.directory.glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                about = json.loads((path / "about.json").read_text())
                found.append(Generation(path, about["marker"], frozenset(about["ports"]), about.get("balancer", "")))
        return sorted(found, key=lambda generation: generation.number)

    def current(self):
        """The generation that the link points to, or None."""
        target = self.link.resolve()
        return next((g for g in self.generations() if g.path.resolve() == target), None)

    def write(self, files, marker, ports, balancer="") -> Generation:
        """A new generation on disk, synced, complete or not there at all."""
        self.directory.mkdir(exist_ok=True)
        new = self.directory / ".new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        try:
            about = json.dumps({"marker": marker, "ports": sorted(ports, key=str), "balancer": balancer})
            for name, text in {**files, "about.json": about}.items():
                _write_synced(new / name, text)
            _sync_directory(new)
            numbers = (int(path.name) for path in self.directory.glob("[0-9]*"))
            path = new.rename(self.directory / str(max(numbers, default=0) + 1))
        except OSError:
            shutil.rmtree(new, ignore_errors=True)
            raise
        _sync_directory(self.directory)
        return Generation(path, marker, frozenset(ports), balancer)

    def point(self, generation):
        """Move the link in one step."""
        new = self.root / ".current"
        new.unlink(missing_ok=True)
        new.symlink_to(generation.path.relative_to(self.root))
        new.rename(self.link)
        _sync_directory(self.root)

    def drop(self, generation):
        shutil.rmtree(generation.path, ignore_errors=True)

    def prune(self, keep, balancer=""):
        """Remove the oldest generations and those of other backends, never the current one, and what a killed run has not
        completed.

        :param keep: how many stay
        :param balancer: the backend; "" removes none of another one
        """
        shutil.rmtree(self.directory / ".new", ignore_errors=True)
        current, found = self.current(), self.generations()
        foreign = [one for one in found if balancer and one.balancer not in ("", balancer)]
        for generation in (*found[: -max(keep, 1)], *foreign):
            if generation != current:
                self.drop(generation)

    def status(self) -> dict:
        """The result of the last run, {} for none. The spare file is there only when it is the newer one."""
        for file in (self.spare, self.status_file):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                status = json.loads(file.read_text()) if file else None
                if isinstance(status, dict):
                    return status
        return {}

    def write_status(self, status: dict):
        """Write it; the caller holds it (`status_held`).

        :raises OSError: it can be written neither here nor into the spare file
        """
        text = json.dumps(status, indent=1) + "\n"
        try:
            _replace(self.status_file, text)
        except OSError:
            if not self.spare:
                raise
            _replace(self.spare, text)
        else:
            if self.spare:
                self.spare.unlink(missing_ok=True)


def _lock(file, patience, name):
    """Lock an open file or directory, within so many seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise OSError(f"another sync holds {name} for more than {patience} s: lslocks names it") from None
        time.sleep(LOCK_PAUSE)


def _replace(file, text):
    new = file.with_suffix(".new")
    try:
        new.write_text(text)
        new.rename(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _write_synced(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
