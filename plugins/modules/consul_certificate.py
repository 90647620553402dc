from __future__ import annotations

DOCUMENTATION = r"""
module: consul_certificate
short_description: Verify that a Consul agent serves the certificate in its file
description:
  - Connects to the HTTPS API of the agent of this host, and to the RPC port of each server as this agent does, with its
    certificate. Waits until the agent serves the certificate in its file, and every side accepts the other.
  - Changes nothing.
options:
  address:
    description: Address of the agent.
    type: str
    required: true
  server:
    description: Whether the agent is a server, which serves its certificate on the RPC port, too.
    type: bool
    default: false
  servers:
    description: Addresses of all servers.
    type: list
    elements: str
    default: []
  directory:
    description: Directory with C(ca.pem), C(agent.pem) and C(agent.key).
    type: path
    default: /etc/consul.d/tls
  timeout:
    description: How long to wait, in seconds.
    type: int
    default: 60
attributes:
  check_mode:
    description: Predicts the change and does nothing.
    support: full
author: fewnodes.discovery maintainers (@fewnodes)
"""

EXAMPLES = r"""
- name: Verify that the agent serves its new certificate
  fewnodes.discovery.consul_certificate:
    address: 192.0.2.1
    server: true
    servers: [192.0.2.1, 192.0.2.2, 192.0.2.3]
"""

RETURN = r"""
serial:
  description: Serial number of the certificate, in hexadecimal.
  type: str
  returned: success
"""

import socket  # noqa: E402
import ssl  # noqa: E402
from pathlib import Path  # noqa: E402

from ansible.module_utils.basic import AnsibleModule  # noqa: E402
from ansible_collections.fewnodes.discovery.plugins.module_utils.consul_api import wait_until  # noqa: E402

HTTPS = 8501
RPC = 8300
# First byte of a TLS connection to the RPC port (agent/pool/conn.go: RPCTLS).
RPC_TLS = b"\x03"


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "server": {"type": "bool", "default": False},
            "servers": {"type": "list", "elements": "str", "default": []},
            "directory": {"type": "path", "default": "/etc/consul.d/tls"},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    options, found = module.params, {}
    folder = Path(options["directory"])

    def missing() -> str:
        found["serial"] = verify(folder, options["address"], options["server"], options["servers"])
        return found["serial"] if found["serial"].startswith("not") else ""

    if problem := wait_until(missing, options["timeout"]):
        module.fail_json(
            msg=f"The agent on {options['address']} does not use the certificate in {folder}/agent.pem, for"
            f" {options['timeout']} s: {problem}. The hosts keep trusting what they trusted; run again when this is repaired."
        )
    module.exit_json(changed=False, **found)


def verify(folder: Path, address: str, server: bool, servers: list[str]) -> str:
    """The serial number of the agent's certificate, or "not …" and what is wrong.

    :raises OSError: no connection, or one side does not accept the other
    """
    own = [(address, HTTPS)] + ([(address, RPC)] if server else [])
    others = [(other, RPC) for other in servers if (other, RPC) not in own]
    wanted = ssl.PEM_cert_to_DER_cert((folder / "agent.pem").read_text())
    serial = ""
    for host, port in own + others:
        try:
            der, number = handshake(folder, host, port)
        except OSError as error:
            raise OSError(f"{host}:{port}: {error}") from error
        if (host, port) in own and der != wanted:
            return f"not the certificate that {host}:{port} serves, which has the serial number {number}"
        serial = serial or number
    return serial


def handshake(folder: Path, host: str, port: int) -> tuple[bytes, str]:
    """The certificate that a port serves, as DER, and its serial number; verified by the agent's CAs.

    :raises OSError: as `verify`
    """
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.check_hostname = False
    context.load_cert_chain(folder / "agent.pem", folder / "agent.key")
    # With 1.3 a server judges the client's certificate after the handshake only.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((host, port), timeout=5) as connection:
        if port == RPC:
            connection.sendall(RPC_TLS)
        with context.wrap_socket(connection) as tls:
            return tls.getpeercert(binary_form=True), tls.getpeercert()["serialNumber"]


if __name__ == "__main__":
    main()
