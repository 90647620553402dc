"""What to open and try on a site that is up: printed at the end of `make demo`."""

import json
import sys
from pathlib import Path

from lab.inventory import directory_of
from lab.shell import run

TEXT = """
The site is up. To open and try:

  virtual hosts    curl -H 'Host: httpfront.{domain}' http://{balancer}/
                   in a browser: put '{balancer} httpfront.{domain}' into /etc/hosts, then http://httpfront.{domain}/
  tcp service      nc {balancer} 9999   (type a line)
  Consul UI        https://{server}:8501/ui/   (CA: {secrets}/ca.pem)
                   token, which may read and nothing else: cat {secrets}/tokens/ui
  names            dig @{server} httpfront.service.{datacenter}.consul SRV
  docker over TLS  docker --tlsverify --tlscacert {secrets}/docker-client/ca.pem --tlscert {secrets}/docker-client/cert.pem \\
                     --tlskey {secrets}/docker-client/key.pem -H tcp://{engine}:2376 ps
  every node       .venv/bin/ansible -i {inventory} all -b -m shell -a 'systemctl --failed'

  then             docker rm -f httpfront on one node, and ask again: nobody edits a file
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
        engine=address["docker_hosts"],
        secrets=directory_of(inventory) / ".secrets",
        inventory=inventory,
    )
