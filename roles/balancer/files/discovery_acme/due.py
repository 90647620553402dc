"""Pure: whether a certificate has to be ordered, by what openssl prints of it."""

import dataclasses
import re
import ssl

SHARE = 3  # a certificate is renewed when less than this part of its time is left, as CAs of short-lived ones ask for
DETAIL = re.compile(r'"detail":\s*"((?:[^"\\]|\\.)*)"')  # of a problem document (RFC 7807)
NAME = re.compile(r"DNS:([^,\s]+)")


@dataclasses.dataclass(frozen=True)
class Certificate:
    begin: float  # seconds since 1970
    end: float
    names: frozenset  # DNS names


def parsed(text):
    """A certificate as `openssl x509 -noout -startdate -enddate -ext subjectAltName` prints it; None where it prints no dates."""
    dates = dict(line.split("=", 1) for line in text.splitlines() if line.startswith(("notBefore=", "notAfter=")))
    try:
        begin, end = (ssl.cert_time_to_seconds(dates[name]) for name in ("notBefore", "notAfter"))
    except (KeyError, ValueError):
        return None
    return Certificate(begin, end, frozenset(NAME.findall(text)))


def reason(names, certificate, fits, now):
    """Why a certificate is due, "" when it is not.

    :param names: those that it should have
    :param certificate: what is there, None for none
    :param fits: whether the key beside it is its own
    :param now: seconds since 1970
    """
    if certificate is None or not certificate.names:  # the one that stands in has no names
        return "there is none of the CA yet"
    if certificate.names != frozenset(names):
        return "its names are others"
    if not fits:
        return "its key is another"
    left, whole = certificate.end - now, certificate.end - certificate.begin
    return "" if left > whole / SHARE else "it has ended" if left <= 0 else "it ends soon"


def explained(text, most=300):
    """The reason of a failure in what dehydrated has printed: its errors, else its last line."""
    lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    details = (DETAIL.search(line) for line in lines)
    found = [f"the CA: {one[1]}".replace('\\"', '"') for one in details if one]
    found = found or [line for line in lines if "ERROR" in line] or lines[-1:]
    return ("; ".join(dict.fromkeys(found)) or "dehydrated printed nothing")[:most]


def failures(before, found, now):
    """The failures of a run, each with the time of the first in a row.

    :param before: those of the run before, {file: {"reason", "since"}}
    :param found: {file: reason} of this run
    """
    since = {file: one["since"] for file, one in before.items() if isinstance(one, dict) and "since" in one}
    return {file: {"reason": reason, "since": since.get(file, int(now))} for file, reason in found.items()}
