"""H19: a container that ends, in whatever way, is gone from the balancers."""

import time

import pytest
from tests.support.clients import http_get
from tests.support.wait import NOT_YET, Repeating, eventually

SERVICE = "test-h19"
WITHIN = 3.0  # seconds
WAYS = {
    "removed": f"docker rm -f {SERVICE}",
    "killed": f"docker kill {SERVICE}",
    "exits": f"docker exec {SERVICE} sh -c 'kill -TERM 1'",
}


class Asking(Repeating):
    """Asks one balancer for two virtual hosts, over and over.

    :ivar answers: (host, Unix time at the end, status), in this order; status 0: no answer
    """

    pause = 0.02

    def __init__(self, balancer, *hosts: str):
        super().__init__()
        self.address, self.hosts = balancer.address, hosts
        self.answers: list[tuple[str, float, int]] = []

    def step(self) -> None:
        for host in self.hosts:
            try:
                status = http_get(self.address, host).status
            except NOT_YET:
                status = 0
            self.answers.append((host, time.time(), status))

    def seen(self, host: str, after: float = 0) -> list[tuple[float, int]]:
        return [(at, status) for asked, at, status in self.answers if asked == host and at >= after]


@pytest.mark.parametrize("way", WAYS)
def test_h19_gone_from_both_balancers(site, settled, start_container, show, way):
    """The only instance: until it is gone a balancer tries it and says 502, then it says 503 by itself."""
    node = site.docker_hosts[-1]
    start_container(node, SERVICE, "httpbackend:v1.0.0", f"-e SERVICE_NAME={SERVICE} -e SERVICE_TAGS=http")
    host, other = site.host_of(SERVICE), site.host_of("httpfront")
    clients = [Asking(balancer, host, other) for balancer in site.balancers]
    with clients[0], clients[1]:
        eventually(lambda: all(200 in {status for _, status in one.seen(host)} for one in clients), 30)
        since = int(node.run("date +%s"))
        node.run(WAYS[way])
        eventually(lambda: all(one.seen(host)[-1][1] == 503 for one in clients), 10 * WITHIN)
        time.sleep(2)
    chosen = f"--filter container={SERVICE} --filter event=die"
    died = (
        int(node.run(f"docker events --since {since} --until $(date +%s) {chosen} --format '{{{{.TimeNano}}}}'").split()[0]) / 1e9
    )
    gone = [max(at for at, status in one.seen(host) if status != 503) - died for one in clients]
    tried = sum(status not in (200, 503) for one in clients for _, status in one.seen(host))
    rest = [status for one in clients for _, status in one.seen(other)]
    show(
        f"{way}: last try {', '.join(f'{seconds:.2f} s' for seconds in gone)} after its end, {tried} requests in vain;"
        f" of {len(rest)} to httpfront {len(rest) - rest.count(200)} failed"
    )
    assert max(gone) <= WITHIN
    assert set(rest) == {200}
