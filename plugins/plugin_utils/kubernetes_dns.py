"""Names of Consul in a Kubernetes cluster: a block in the configuration of CoreDNS that asks Consul for its domain."""

from __future__ import annotations

import re

BEGIN, END = "# fewnodes.discovery: begin", "# fewnodes.discovery: end"
BLOCK = re.compile(rf"\n*{re.escape(BEGIN)}\n.*?{re.escape(END)}\n?", re.DOTALL)


def with_consul(corefile: str, domain: str, address: str) -> str:
    """A Corefile whose server asks Consul for the names of its domain; all else of it stays.

    CoreDNS reads a changed file by itself where it has the plugin reload, and keeps the one before when the new one is wrong.

    :param corefile: as it is
    :param domain: of Consul's names, without dots around it
    :param address: of Consul's DNS, '' takes the block out
    :raises ValueError: somebody else's block has the domain already, or a mark stands alone
    """
    rest = BLOCK.sub("\n", corefile).rstrip("\n") + "\n"
    if BEGIN in rest or END in rest:
        raise ValueError(f"one of the lines {BEGIN!r} and {END!r} stands alone: remove it")
    if _zones(rest) & {domain, f"{domain}."}:
        raise ValueError(f"it has a block for {domain} already: remove that")
    if not address:
        return rest
    shown = f"[{address}]" if ":" in address else address
    lines = (BEGIN, f"{domain}:53 {{", "    errors", "    cache 1", f"    forward . {shown}", "}", END)
    return rest + "\n" + "\n".join(lines) + "\n"


def _zones(corefile: str) -> set[str]:
    """Zones that the blocks of a Corefile serve, without scheme and port."""
    found: set[str] = set()
    depth = 0
    for line in corefile.splitlines():
        text = line.partition("#")[0].strip()
        if depth == 0 and text.endswith("{"):
            found |= {re.sub(r"^\w+://|:\d+$", "", zone) for zone in re.split(r"[\s,]+", text.removesuffix("{")) if zone}
        depth += text.count("{") - text.count("}")
    return found
