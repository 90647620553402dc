"""The runtime API of HAProxy: commands over its unix socket, which only root can reach."""

import socket

PROMPT = b"\n> "
MOST_BYTES = 64 * 2**20  # of an answer
PATIENCE = 2  # seconds for each part of an answer


class Runtime:
    """A connection, made with the first command. It stays with the process that took it, also during a reload."""

    def __init__(self, path, timeout=PATIENCE):
        """
        :param path: of the socket
        :param timeout: seconds for each part of an answer
        """
        self.path, self.timeout, self._socket = str(path), timeout, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, *commands) -> list:
        """The answers to some commands, in their order.

        :raises OSError: nobody answers, or the connection ended
        """
        if self._socket is None:
            self._connect()
        return [self._one(command) for command in commands]

    def close(self):
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self):
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(self.timeout)
            self._socket.connect(self.path)
            self._one("prompt")
        except BaseException:
            self.close()
            raise

    def _one(self, command) -> str:
        self._socket.sendall(command.encode() + b"\n")
        answer = bytearray()
        while not answer.endswith(PROMPT):
            part = self._socket.recv(65536)
            if not part:
                raise ConnectionError("HAProxy closed the connection to its runtime API")
            answer += part
            if len(answer) > MOST_BYTES:
                raise ConnectionError("an answer of HAProxy's runtime API is too long")
        return answer[: -len(PROMPT)].decode(errors="replace")
