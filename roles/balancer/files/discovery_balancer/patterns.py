"""Names and paths that may stand in a configuration. The collection's preflight reads this file on the controller, too."""

import re

LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
DOMAIN = re.compile(rf"{LABEL}(\.{LABEL})*")
CERTIFIED = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})+")  # names in a certificate
REDIRECT = re.compile("301|308|false")  # status of a redirect to HTTPS, or none
MAX_AGE = re.compile("0|[1-9][0-9]{0,7}")  # of HSTS, in seconds
HTTPS_PORT = 443  # the only one for which HSTS may be: a browser asks for https://<host> then, without a port
FILE = re.compile(r"/[A-Za-z0-9._/@+-]+")
