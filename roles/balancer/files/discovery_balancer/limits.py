"""The limits of HTTP and of connections, one table for every backend: site variable balancer_<name>, type, default.

A backend's role has the directives of each; documents and preflight read this table, on the controller, too.
"""

import re
import typing

KINDS = {
    "time": (re.compile(r"[0-9]{1,6}|([0-9]{1,6}(ms|[smhdw]))+"), "a time such as 500ms, 30s, 5m or 2h"),
    "size": (re.compile(r"[0-9]{1,9}[kKmMgG]?"), "a size such as 16k or 100m"),
    # At least one of nginx's buffers for answers, which a service may have larger.
    "disk": (re.compile(r"0[kKmMgG]?|[1-9][0-9]{0,5}[mMgG]|[1-9][0-9]{3,8}[kK]|[1-9][0-9]{6,8}"), "a size from 1m, 0 for none"),
    "count": (re.compile(r"[0-9]{1,6}"), "a whole number, 0 for no limit"),
    "header": (re.compile(r"([4-9]|[1-9][0-9]|[12][0-9]{2})k"), "a size from 4k to 299k"),
}


class Limit(typing.NamedTuple):
    name: str
    kind: str  # of KINDS
    default: str

    @property
    def variable(self) -> str:
        return f"balancer_{self.name}"

    def problem(self, value) -> str:
        """What to set instead of a value, "" when it is good."""
        pattern, words = KINDS[self.kind]
        return "" if pattern.fullmatch(str(value)) else f"set it to {words}"


LIMITS = (
    Limit("client_header_timeout", "time", "15s"),
    Limit("client_body_timeout", "time", "30s"),
    Limit("client_send_timeout", "time", "60s"),
    Limit("client_keepalive_timeout", "time", "60s"),
    Limit("client_connections", "count", "2000"),
    Limit("client_open_connections", "count", "1000"),
    Limit("client_requests", "count", "0"),
    Limit("client_max_body_size", "size", "100m"),
    Limit("header_size", "header", "32k"),
    Limit("body_buffer_size", "size", "16k"),
    Limit("response_disk_size", "disk", "64m"),
    Limit("connect_timeout", "time", "1s"),
    Limit("read_timeout", "time", "60s"),
    Limit("stream_timeout", "time", "10m"),
)
