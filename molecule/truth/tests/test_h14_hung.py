"""H14: an application that hangs, or answers with errors, while its container runs on."""

import functools

from tests.support.balancer import status
from tests.support.clients import http_get
from tests.support.overlay_reach import python
from tests.support.wait import eventually, side_by_side

SERVICE = "test-h14"
WITHIN = 15.0  # seconds until both balancers have left it
# Answers 500 while there is a file /tmp/sick, and always names its host.
APPLICATION = """
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if os.path.exists("/tmp/sick") else 200)
        self.send_header("X-Instance", socket.gethostname())
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("", 8081), Handler).serve_forever()
"""
# What makes a container sick, and well again.
PROCESS = "$(docker inspect -f '{{{{.State.Pid}}}}' {0})"
FAULTS = {
    "stopped": (f"kill -STOP {PROCESS}", f"kill -CONT {PROCESS}"),
    "answers-500": ("docker exec {0} touch /tmp/sick", "docker exec {0} rm /tmp/sick"),
}


def leaves_and_returns(site, start_container, show, fault: str) -> None:
    """Two instances of a service, one of them sick: the other one serves alone meanwhile."""
    service, (sick, sound) = f"{SERVICE}-{fault}", site.docker_hosts[-2:]
    options = f"-e SERVICE_NAME={service} -e SERVICE_TAGS=http -e SERVICE_CHECK_HTTP=/"
    for node in (sick, sound):
        start_container(node, service, f"httpbackend:v1.0.0 {python(APPLICATION)}", options)

    def everywhere(instances: int) -> bool:
        """Every balancer reports, that so many are served."""
        found = [status(node) for node in site.balancers]
        return all(one["http"].get(service) == instances for one in found)

    eventually(lambda: everywhere(2), 30)
    begin, repair = (command.format(service) for command in FAULTS[fault])
    sick.run(begin)
    try:
        _, gone = eventually(lambda: everywhere(1), 2 * WITHIN)
        running = sick.run(f"docker inspect -f '{{{{.State.Status}}}}' {service}")
        answers = [http_get(node.address, site.host_of(service)) for node in site.balancers for _ in range(5)]
    finally:
        sick.run(repair)
    _, back = eventually(lambda: everywhere(2), 2 * WITHIN)
    show(f"{fault}: out of both balancers after {gone:.1f} s, back {back:.1f} s after its recovery")
    assert running == "running"
    other = sound.hostname_of(service)
    assert {(answer.status, answer.headers["X-Instance"]) for answer in answers} == {(200, other)}
    assert gone <= WITHIN


def test_h14_leaves_the_balancers_and_returns(site, settled, start_container, show):
    """A service for each fault, at the same time."""
    side_by_side(functools.partial(leaves_and_returns, site, start_container, show, fault) for fault in FAULTS)
