"""Names and paths that may stand in a configuration. The collection's preflight reads this file on the controller, too."""

import re

LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
DOMAIN = re.compile(rf"{LABEL}(\.{LABEL})*")
CERTIFIED = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})+")  # names in a certificate
REDIRECT = re.compile("301|308|false")  # status of a redirect to HTTPS, or none
MAX_AGE = re.compile("0|[1-9][0-9]{0,7}")  # of HSTS, in seconds
HTTPS_PORT = 443  # the only one for which HSTS may be: a browser asks for https://<host> then, without a port
PAGES = (403, 404, 429, 431, 502, 503)  # statuses whose page a site may write itself
LONGEST_PAGE = 32 * 2**10  # bytes; HAProxy's buffers hold twice balancer_header_size
FILE = re.compile(r"/[A-Za-z0-9._/@+-]+")


def page_problem(status, text, longest=LONGEST_PAGE) -> str:
    """Why a text is no page for a status, "" when it is one."""
    if str(status) not in map(str, PAGES):
        return f"{status} has no page: there are {', '.join(map(str, PAGES))}"
    if not isinstance(text, str) or not text.strip():
        return f"the page {status} is empty"
    if any(ord(c) < 32 and c not in "\t\r\n" or c == "\x7f" for c in text):
        return f"the page {status} has control characters"
    size = len(text.encode(errors="replace"))
    return f"the page {status} has {size} bytes, more than {longest}" if size > longest else ""
