"""Commands to try on a site that is up: printed at the end of `make demo`."""

import json
import sys
from pathlib import Path

from lab.inventory import directory_of
from lab.shell import run

# Commands of bash itself: a fresh Debian machine has neither curl nor nc nor dig.
TEXT = """
The site is up. To open and try, in bash:

  virtual hosts    exec 3<>/dev/tcp/{balancer}/80; printf 'GET / HTTP/1.0\\r\\nHost: httpfront.{domain}\\r\\n\\r\\n' >&3; cat <&3
                   or: curl -H 'Host: httpfront.{domain}' http://{balancer}/
                   in a browser: put '{balancer} httpfront.{domain}' into /etc/hosts, then http://httpfront.{domain}/
  tcp service      exec 3<>/dev/tcp/{balancer}/9999; echo hello >&3; head -1 <&3
  Consul UI        https://{server}:8501/ui/   (CA: {secrets}/ca.pem)
                   token, which may read and nothing else: cat {secrets}/tokens/ui
  names            .venv/bin/ansible -i {inventory} all -a 'getent ahostsv4 httpfront.service.{datacenter}.consul'
                   or: dig @{server} httpfront.service.{datacenter}.consul SRV
  every node       .venv/bin/ansible -i {inventory} all -b -a 'systemctl --failed'
  docker over TLS  docker --tlsverify --tlscacert {secrets}/docker-client/ca.pem --tlscert {secrets}/docker-client/cert.pem \\
                     --tlskey {secrets}/docker-client/key.pem -H tcp://{dockerd}:2376 ps   (with a docker client)

  then             .venv/bin/ansible -i {inventory} {host} -b -a 'docker rm -f httpfront', and request httpfront again:
                   it is served by the others, and nobody edits a file
  gone again       make lab-down INVENTORY={inventory}
"""


GROUPS = ("consul_servers", "docker_hosts", "load_balancers")


def tour(inventory: Path) -> str:
    """The text for one inventory.

    :raises LabError: ansible-inventory cannot read it
    """
    listed = json.loads(run(Path(sys.executable).parent / "ansible-inventory", "-i", inventory, "--list"))
    hostvars = listed["_meta"]["hostvars"]
    address = {group: hostvars[listed[group]["hosts"][0]]["ansible_host"] for group in GROUPS}
    variables = next(iter(hostvars.values()))
    return TEXT.format(
        domain=variables["discovery_domain"],
        datacenter=variables.get("discovery_datacenter", "dc1"),
        balancer=address["load_balancers"],
        server=address["consul_servers"],
        dockerd=address["docker_hosts"],
        host=listed["docker_hosts"]["hosts"][-1],
        secrets=directory_of(inventory) / ".secrets",
        inventory=inventory,
    )
