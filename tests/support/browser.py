"""A headless Chromium, by the DevTools protocol over two pipes: what a person sees of a site whose CA was imported.

It needs the programs chromium, and certutil of libnss3-tools. https://chromedevtools.github.io/devtools-protocol/
"""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

MISSING = "no Chromium to test with: run `DISCOVERY_TESTS=all make system`"
SECONDS = 60  # for each step of it, on a busy machine
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server", "--disable-background-networking",
    "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip


def is_there() -> bool:
    """Whether this machine has the programs."""
    return all(map(shutil.which, ("chromium", "certutil")))


@dataclass(frozen=True)
class Page:
    """What was opened."""

    url: str  # where it ended
    status: int
    problem: str  # of the connection, such as net::ERR_CERT_AUTHORITY_INVALID
    way: tuple[int, ...]  # status of each redirect


class Browser:
    """One that trusts some CAs, and finds all names of a domain at one address; it ends with the block.

    :param folder: for its profile, an empty one
    :param address: where all names are
    :param authorities: files of CAs that are imported
    """

    def __init__(self, folder: Path, address: str, *authorities: str):
        self._number, self._left = 0, b""
        database = folder / ".pki/nssdb"
        database.mkdir(parents=True)
        self._certutil(database, "-N", "--empty-password")
        for number, file in enumerate(authorities):
            self._certutil(database, "-A", "-t", "C,,", "-n", f"site-{number}", "-i", file)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()

        def place() -> None:
            for given, number in [(fcntl.fcntl(fd, fcntl.F_DUPFD, 10), n) for n, fd in ((3, to_read), (4, to_write))]:
                os.dup2(given, number)

        self._process = subprocess.Popen(
            ["chromium", *OPTIONS, f"--user-data-dir={folder / 'profile'}", f"--host-resolver-rules=MAP * {address}"],
            preexec_fn=place, close_fds=False, env={**os.environ, "HOME": str(folder)},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for fd in (to_read, to_write):
            os.close(fd)
        self._session = ""
        try:
            self._attach()
        except BaseException:
            self._end()  # there is no block yet
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    def _attach(self) -> None:
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network"):
            self._ask(f"{domain}.enable")

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def open(self, url: str) -> Page:
        """Open a page, and wait until it is loaded."""
        found, seen = {"url": url, "status": 0}, []

        def note(event) -> bool:
            given = event.get("params", {})
            if event.get("method") == "Network.requestWillBeSent" and given["type"] == "Document" and "redirectResponse" in given:
                seen.append(given["redirectResponse"]["status"])
            if event.get("method") == "Network.responseReceived" and given["type"] == "Document":
                found.update(url=given["response"]["url"], status=given["response"]["status"])
            return event.get("method") == "Page.loadEventFired"

        problem = self._ask("Page.navigate", note, url=url).get("errorText", "")
        if not problem:
            self._until(note)
        return Page(found["url"], found["status"], problem, tuple(seen))

    def run(self, script: str):
        """The value of an expression in the page."""
        done = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, script: str):
        """The value of an expression in the page as soon as it is true."""
        deadline = time.monotonic() + SECONDS
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"never true: {script}; the page: {self.text[:500]!r}"
            time.sleep(0.1)
        return value

    @property
    def text(self) -> str:
        """What a person reads."""
        return self.run("document.body.innerText")

    @staticmethod
    def _certutil(database: Path, *arguments: str) -> None:
        subprocess.run(["certutil", "-d", f"sql:{database}", *arguments], check=True, capture_output=True, timeout=SECONDS)

    def _ask(self, method: str, note=lambda _event: None, **params):
        """The result of a command.

        :param note: called with each event before it
        """
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params} | ({"sessionId": self._session} if self._session else {})
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda event: event.get("id") == number or (note(event) and False))
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _until(self, wanted) -> dict:
        """The next message that is wanted."""
        deadline = time.monotonic() + SECONDS
        while True:
            while b"\0" in self._left:
                message, _, self._left = self._left.partition(b"\0")
                if wanted(found := json.loads(message)):
                    return found
            assert select.select([self._read], [], [], max(0, deadline - time.monotonic()))[0], "Chromium is silent"
            piece = os.read(self._read, 1 << 20)
            assert piece, "Chromium has ended"
            self._left += piece


def log_in(browser: Browser, token: str) -> None:
    """Enter a token in Consul's UI, as a person does."""
    field = "document.querySelector('input[type=password]')"
    button = "[...document.querySelectorAll('button[type=button]')].find(one => one.innerText.trim() == 'Log in')"
    browser.wait(f"{field} && {button} && ({button}.click(), true)")
    browser.run(f"{field}.value = {json.dumps(token)}; {field}.dispatchEvent(new Event('input', {{bubbles: true}}))")
    browser.run(f"{field}.form.querySelector('button[type=submit]').click()")
    browser.wait("(localStorage.getItem('consul:token') || '').includes('SecretID')")
