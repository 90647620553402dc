"""Names and paths that may stand in a configuration. The collection's preflight reads this file on the controller, too."""

import re

LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
DOMAIN = re.compile(rf"{LABEL}(\.{LABEL})*")
CERTIFIED = re.compile(rf"(\*\.)?{LABEL}(\.{LABEL})+")  # names in a certificate
FILE = re.compile(r"/[A-Za-z0-9._/@+-]+")
