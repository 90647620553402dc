"""Waits for a signal, or for a file that is renamed into a directory.

The kernel reports changes of a directory by SIGIO (fcntl(2), F_NOTIFY). Not inotify: Python has no call for it without ctypes,
which wants memory that is writable and executable, and a host has few inotify instances for all programs of root. A report may be
lost without harm: who waits compares the file itself.
"""

import fcntl
import os
import select
import signal

POLL = 0.2  # seconds between two looks where the kernel reports nothing


class Watch:
    """One for the process: Python has one file descriptor that every signal writes to."""

    def __init__(self, directory):
        """
        :param directory: where files are renamed to; another one may be mounted over it at any time
        """
        self.directory, self.blind = directory, True
        self._descriptor, self._armed = -1, None
        self._signals, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGIO, lambda *_: None)

    def wait(self, seconds):
        """Return after a signal or a rename, or when the time is over."""
        self._arm()
        if self.blind:
            seconds = min(seconds, POLL)
        if select.select([self._signals], [], [], max(0, seconds))[0]:
            os.read(self._signals, 4096)

    def _arm(self):
        """Watch the directory that has the path now."""
        try:
            state = os.stat(self.directory)
            if (state.st_dev, state.st_ino) == self._armed:
                return
            if self._descriptor >= 0:
                closed, self._descriptor = self._descriptor, -1  # forgotten first: its number may be another file's soon
                os.close(closed)
            self._descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.fcntl(self._descriptor, fcntl.F_NOTIFY, fcntl.DN_RENAME | fcntl.DN_CREATE | fcntl.DN_MULTISHOT)
            state = os.fstat(self._descriptor)
            self._armed, self.blind = (state.st_dev, state.st_ino), False
        except OSError:
            self._armed, self.blind = None, True
