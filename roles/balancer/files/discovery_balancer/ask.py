"""Requests: HTTP/1.1 over a connection that may be kept, and with it the Consul agent of this host.

Not http.client: it costs a resident program 2 MB, most of them for mail.
"""

import os
import socket
import ssl

PATIENCE = 3  # seconds for an answer of the agent on this host
LONGEST_LINE = 65536
MOST_BYTES = 1 << 24  # of an answer


class NotHTTP(OSError):
    """The answer is not one of HTTP/1.x, or is longer than any that is asked for."""


class Connection:
    """One connection, made when it is needed, to one server."""

    def __init__(self, connect, host="localhost"):
        """
        :param connect: () -> a connected socket
        :param host: value of the header Host
        """
        self.connect, self.host = connect, host
        self._socket = self._file = None

    @property
    def open(self) -> bool:
        """Whether the connection of an earlier request is kept."""
        return self._socket is not None

    def ask(self, method, path, headers=None, body=None) -> tuple:
        """Status and text of an answer.

        :param headers: further ones
        :param body: text
        :raises OSError: there is none, or it is not HTTP
        """
        self.send(method, path, headers, body)
        return self.answer()

    def send(self, method, path, headers=None, body=None):
        """Send a request, whose `answer` is read later."""
        content = b"" if body is None else body.encode()
        fields = {"Host": self.host, **({} if body is None else {"Content-Length": len(content)}), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        try:
            if self._socket is None:
                self._socket = self.connect()
                self._file = self._socket.makefile("rb")
            self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        except BaseException:
            self.close()
            raise

    def answer(self) -> tuple:
        """Status and text of the answer to what was sent."""
        try:
            status, text, kept = _answer(self._file)
        except BaseException:
            self.close()
            raise
        if not kept:
            self.close()
        return status, text.decode(errors="replace")

    def fileno(self) -> int:
        """For select(2)."""
        return self._socket.fileno()

    def close(self):
        """End the connection; the next request makes another one."""
        for one in (self._file, self._socket):
            if one is not None:
                one.close()
        self._socket = self._file = None


class Agent:
    """The agent, by HTTPS. The CA is read again when its file changes, the token for each request."""

    def __init__(self, address, token_file, ca, timeout=PATIENCE):
        """
        :param address: host:port, an IPv6 address in brackets
        :param token_file: file of the token
        :param ca: file that verifies the agent: while it is down, any local user may listen on its port
        :param timeout: seconds for a connection, and for each part of an answer
        """
        host, _unused, port = address.rpartition(":")
        self.host, self.port, self.timeout = host.strip("[]"), int(port), timeout
        self.token_file, self.ca = token_file, ca
        self._connection, self._context, self._read = Connection(self._connect, address), None, None

    def ask(self, method, path, body=None) -> tuple:
        """Status and text of an answer. A kept connection that has ended meanwhile is made anew, once: every request of ours may
        be sent twice.

        :raises OSError: there is none, the agent is not one of this site, or the token or the CA cannot be read
        """
        headers = {"X-Consul-Token": self.token_file.read_text().strip()}
        if self._read != self._state_of_ca():
            self.close()
        kept = self._connection.open
        try:
            return self._connection.ask(method, path, headers, body)
        except OSError as error:
            if not kept or isinstance(error, socket.timeout):
                raise
        return self._connection.ask(method, path, headers, body)

    def close(self):
        """End the connection; the next one reads the CA again."""
        self._connection.close()
        self._context = None

    def _connect(self):
        if self._context is None:
            self._read = self._state_of_ca()
            self._context = ssl.create_default_context(cafile=self.ca)
        plain = socket.create_connection((self.host, self.port), self.timeout)
        try:
            return self._context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    def _state_of_ca(self):
        state = os.stat(self.ca)
        return state.st_ino, state.st_mtime_ns, state.st_size


def _answer(file):
    """Status, content, and whether the connection may be used again (RFC 9112)."""
    words = _line(file).split(" ", 2)
    if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
        raise NotHTTP(f"the answer begins with {' '.join(words)[:60]!r}")
    fields = {}
    while line := _line(file):
        name, _unused, value = line.partition(":")
        fields[name.strip().lower()] = value.strip()
    kept = words[0] == "HTTP/1.1" and fields.get("connection", "").lower() != "close"
    status = int(words[1])
    if status in (204, 304):
        return status, b"", kept
    if fields.get("transfer-encoding", "").lower() == "chunked":
        return status, _chunks(file), kept
    if "content-length" in fields:
        return status, _exactly(file, _number(fields["content-length"], 10)), kept
    return status, file.read(MOST_BYTES), False  # up to its end


def _chunks(file):
    parts, length = [], 0
    while size := _number(_line(file).partition(";")[0], 16):
        length += size
        parts.append(_exactly(file, size, length))
        _line(file)
    while _line(file):
        pass
    return b"".join(parts)


def _exactly(file, size, length=0):
    if max(size, length) > MOST_BYTES:
        raise NotHTTP("the answer is too long")
    content = file.read(size)
    if len(content) < size:
        raise NotHTTP("the answer ends early")
    return content


def _line(file) -> str:
    line = file.readline(LONGEST_LINE)
    if not line.endswith(b"\n"):
        raise NotHTTP("the connection ended" if not line else "a line of the answer is too long, or ends early")
    return line.decode("latin-1").rstrip("\r\n")


def _number(text, base):
    try:
        number = int(text.strip(), base)
    except ValueError:
        number = -1
    if number < 0:  # which a file reads to its end
        raise NotHTTP(f"{text[:60]!r} is no length")
    return number
