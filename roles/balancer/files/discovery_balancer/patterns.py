"""Names and paths that may stand in a configuration. The collection's preflight reads this file on the controller, too."""

import re

LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
DOMAIN = re.compile(rf"{LABEL}(\.{LABEL})*")
CERTIFIED = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})+")  # names in a certificate
HOST = re.compile(rf"{LABEL}(\.{LABEL})+")
REDIRECT = re.compile("301|308|false")  # status of a redirect to HTTPS, or none
MAX_AGE = re.compile("0|[1-9][0-9]{0,7}")  # of HSTS, in seconds
HTTPS_PORT = 443  # the only one for which HSTS may be: a browser asks for https://<host> then, without a port
PAGES = (401, 403, 404, 429, 431, 502, 503, "maintenance")  # what a site may write itself: pages of statuses, and one more
LONGEST_PAGE = 32 * 2**10  # bytes; HAProxy's buffers hold 12 KiB more than balancer_header_size
USERS = re.compile("(?!false$)[a-z0-9][a-z0-9_-]{0,31}")  # name of a list of users
CLIENT_CA = USERS  # name of a CA that signs certificates of clients; it is part of names of files and sections
# A user and the hash of the password, as the C library's crypt(5) has them, which nginx and HAProxy both ask: sha256crypt,
# sha512crypt, bcrypt, yescrypt. Not those of Apache's htpasswd (apr1) and {SHA}, which HAProxy has not.
USER = re.compile(
    r"[A-Za-z0-9._@-]{1,64}:(\$5\$(rounds=[0-9]{4,9}\$)?[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{43}"
    r"|\$6\$(rounds=[0-9]{4,9}\$)?[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{86}"
    r"|\$2[aby]\$[0-9]{2}\$[A-Za-z0-9./]{53}|\$y\$[A-Za-z0-9./]{1,16}\$[A-Za-z0-9./]{1,86}\$[A-Za-z0-9./]{43})"
)
THUMBPRINT = re.compile("[A-Za-z0-9_-]{43}")  # SHA-256 of an account's public key (RFC 8555, 8.1)
FILE = re.compile(r"/[A-Za-z0-9._/@+-]+")


def certified_by(host, names) -> str:
    """Of the names that certificates are for, "*.domain" as well, the one that counts for a host: its own, else that of all names
    beside it; "" where it has none."""
    return next((name for name in (host, "*." + host.partition(".")[2]) if name in names), "")


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


def users(text) -> list:
    """The lines of a file of users, "name:hash", without empty ones and comments."""
    return [line for line in str(text).splitlines() if line.strip() and not line.startswith("#")]


def users_problem(name, text) -> str:
    """Why a text is no list of users of this name, "" when it is one. Nothing of the text is in it."""
    if not USERS.fullmatch(str(name)):
        return f"{name!r} is no name of a list: it has at most 32 small letters, digits, hyphens and underscores"
    lines = users(text)
    wrong = [str(number) for number, line in enumerate(lines, 1) if not USER.fullmatch(line)]
    if wrong:
        return f"user {', '.join(wrong[:5])} of {name} has no hash of crypt(5), such as of `openssl passwd -5`"
    return "" if lines else f"{name} has no user"
