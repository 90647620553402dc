"""L2: whatever breaks, the last good generation serves, `discovery-balancer status` reports why within a minute, and it recovers
by itself when the cause is gone, and Consul has the same status. D3: a preview shows changes without making them."""

import contextlib

import pytest
from tests.support.balancer import STATE, backend, status
from tests.support.clients import BACKEND_BODY, FRONT_BODY, http_get
from tests.support.wait import eventually, everywhere, side_by_side

MINUTE = 60
TEMPLATE = "/etc/consul-template/catalog.json.ctmpl"


@pytest.fixture
def balancer(site, settled):
    """A balancer; all of them are well before, and again after."""
    everywhere(site.balancers, lambda node: node.run("discovery-balancer status"), MINUTE)
    yield site.balancers[0]
    everywhere(site.balancers, lambda node: node.run("discovery-balancer status"), MINUTE)


def says(node, *words) -> bool:
    """Whether the status is bad and has these words."""
    shown = node.tries("discovery-balancer status")
    return shown.rc == 1 and all(word in shown.stdout for word in words)


def serves(site, node) -> None:
    """What was served before still is."""
    answer = http_get(node.address, site.host_of("httpfront"))
    assert (answer.status, answer.body) == (200, FRONT_BODY)


def follows(site, node, start_container, name: str) -> float:
    """Start a service, and wait until the balancer serves it; the seconds."""
    start_container(site.docker_hosts[-1], name, "httpbackend:v1.0.0", f"-e SERVICE_NAME={name} -e SERVICE_TAGS=http")
    return eventually(lambda: http_get(node.address, site.host_of(name)).body == BACKEND_BODY, MINUTE)[1]


@contextlib.contextmanager
def template_edited(node, command: str):
    """consul-template starts with a template that a command has changed, while the block runs."""
    node.run(f"cp -p {TEMPLATE} /root/template && {command} && systemctl --no-block restart consul-template")
    try:
        yield
    finally:
        node.run(f"mv /root/template {TEMPLATE}")


def broken(site, node, show, what: str, *words) -> None:
    """Wait until the status reports it, while the last good generation serves."""
    _, seconds = eventually(lambda: says(node, *words), MINUTE)
    serves(site, node)
    show(f"{what}: reported after {seconds:.0f} s: {node.tries('discovery-balancer status').stdout.splitlines()[0]}")


def healed(node, show, what: str) -> None:
    """Wait until the status is good again."""
    _, seconds = eventually(lambda: node.run("discovery-balancer status"), MINUTE)
    show(f"{what}: healthy after {seconds:.0f} s")


@pytest.mark.more
def test_l2_broken_template(site, balancer, start_container, show):
    with template_edited(balancer, f"echo '{{{{ broken' >> {TEMPLATE}"):
        broken(site, balancer, show, "broken template", "consul-template does not run")
    healed(balancer, show, "broken template")
    show(f"a new service is served after {follows(site, balancer, start_container, 'test-follows'):.1f} s")


@contextlib.contextmanager
def token_changed(site, node):
    """The token of consul-template on a node, as Consul lists it; it is put back afterwards."""
    consul = site.consul()
    listed = consul.get("/v1/acl/tokens")
    token = next(one for one in listed if one["Description"] == f"consul_template on {node.name}")
    kept = {name: token[name] for name in ("AccessorID", "SecretID", "Description", "Policies")}
    try:
        yield kept
    finally:
        there = kept["AccessorID"] in {one["AccessorID"] for one in consul.get("/v1/acl/tokens")}
        consul.put(f"/v1/acl/token{'/' + kept['AccessorID'] if there else ''}", kept)


def taken_port(site, balancer, start_container, show) -> None:
    """Another process of the balancer's host has it: the balancer's own test does not notice."""
    port, name = 9996, "taken-9996"
    balancer.run(f"systemd-run --unit=test-taken python3 -m http.server {port}")
    try:
        eventually(lambda: balancer.run(f"ss -Hltn sport = :{port}"), 10)
        start_container(site.docker_hosts[-1], f"test-{name}", "tcpfront:v1.0.0", f"-e SERVICE_NAME={name} -e SERVICE_TAGS=tcp")
        line = f"skipped: {name}: port {port} is taken by another process on this host"
        _, seconds = eventually(lambda: line in balancer.tries("discovery-balancer status").stdout, MINUTE)
        show(f"taken port: reported after {seconds:.1f} s")
        serves(site, balancer)
    finally:
        balancer.run("systemctl stop test-taken")
    _, seconds = eventually(lambda: f"{name} (1)" in balancer.run("discovery-balancer status"), MINUTE)
    show(f"taken port: served {seconds:.1f} s after it was free")


def deleted_token(site, balancer, start_container, show) -> None:
    """Of consul-template on one balancer."""
    with token_changed(site, balancer) as token:
        site.consul().send("DELETE", f"/v1/acl/token/{token['AccessorID']}")
        broken(site, balancer, show, "deleted token", "Consul refuses consul-template's token")
    healed(balancer, show, "deleted token")
    show(f"a new service is served after {follows(site, balancer, start_container, 'test-follows'):.1f} s")


def test_l2_a_taken_port_and_a_deleted_token(site, balancer, start_container, show):
    """Each on another balancer, at the same time."""
    other = next(node for node in site.balancers if node is not balancer)
    side_by_side([
        lambda: taken_port(site, balancer, start_container, show),
        lambda: deleted_token(site, other, start_container, show),
    ])  # fmt: skip


def test_l2_consul_has_the_status(site, balancer, show):
    for node in site.balancers:

        def same(node=node):
            stored = site.consul().get(f"/v1/kv/discovery/balancer/{node.name}?raw")
            now = status(node)
            same = all(stored[name] == now[name] for name in stored if name != "echo")
            return same and stored["state"] == "ok" and "skipped" in stored

        show(f"{node.name} has reported its status after {eventually(same, MINUTE)[1]:.0f} s")


def test_d3_preview_changes_nothing(site, balancer, show):
    """Shown from the catalog as it is now, while consul-template is away."""
    files = f"{STATE}/catalog.json {STATE}/generations {STATE}/current"
    look = f"find {files} -printf '%p %i %T@ %s\\n' | sort; readlink {STATE}/current"
    name = "test-preview"
    balancer.run("systemctl stop consul-template")
    try:
        before, pid = balancer.run(look), balancer.unit(site.balancer, "MainPID")
        site.docker_hosts[-1].run(
            f"docker run -d --name {name} -P -e SERVICE_NAME={name} -e SERVICE_TAGS=http httpbackend:v1.0.0"
        )
        eventually(lambda: site.passing(name), 30)
        shown = eventually(lambda: [t for t in [balancer.run("discovery-balancer preview")] if name in t], 30)[0][0]
        dry = balancer.run("consul-template -config=/etc/consul-template/consul-template.hcl -once -dry 2>/dev/null")
        line = backend(site).served.format(host=site.host_of(name), service=name)
        assert line in shown and dry.startswith(f"> {STATE}/catalog.json\n")
        assert (balancer.run(look), balancer.unit(site.balancer, "MainPID")) == (before, pid)
        assert http_get(balancer.address, site.host_of(name)).status == 503
        balancer.run("consul-template -config=/etc/consul-template/consul-template.hcl -once")
        _, seconds = eventually(lambda: http_get(balancer.address, site.host_of(name)).body == BACKEND_BODY, 10, every=0.05)
        show(f"preview: {len(shown.splitlines())} lines, nothing written; served {seconds:.2f} s after -once")
    finally:
        site.docker_hosts[-1].run(f"docker rm -f {name}")
        balancer.run("systemctl start consul-template")


@pytest.mark.more
def test_l2_catalog_unreadable(site, balancer, start_container, show):
    """It exists and may read nothing: the catalog looks empty, without an error."""
    with token_changed(site, balancer) as token:
        site.consul().put(f"/v1/acl/token/{token['AccessorID']}", token | {"Policies": []})
        broken(site, balancer, show, "catalog unreadable", "catalog unreadable")
    healed(balancer, show, "catalog unreadable")
    show(f"a new service is served after {follows(site, balancer, start_container, 'test-follows'):.1f} s")


@pytest.mark.more
def test_l2_a_new_token_is_used_without_a_restart_by_hand(site, balancer, start_container, show):
    """A rotation that died between the file and the restart: consul-template would use the old token for ever."""
    with token_changed(site, balancer) as token:
        secret = {"Description": "test: another", "Policies": token["Policies"]}
        other = site.consul().put("/v1/acl/token", secret)
        balancer.run("cp -p /etc/consul-template/token /root/token && echo %s > /etc/consul-template/token", other["SecretID"])
        try:
            site.consul().send("DELETE", f"/v1/acl/token/{token['AccessorID']}")
            follows(site, balancer, start_container, "test-other")
            eventually(lambda: balancer.run("discovery-balancer status"), MINUTE)
        finally:
            site.consul().put("/v1/acl/token", token)
            balancer.run("cat /root/token > /etc/consul-template/token && rm /root/token")
            site.consul().send("DELETE", f"/v1/acl/token/{other['AccessorID']}")
    show(f"and back: a new service is served after {follows(site, balancer, start_container, 'test-follows'):.1f} s")


@pytest.mark.more
def test_l2_dead_consul_template(site, balancer, show):
    balancer.run("systemctl stop consul-template")
    try:
        broken(site, balancer, show, "consul-template stopped", "consul-template does not run (inactive)")
    finally:
        balancer.run("systemctl start consul-template")
    healed(balancer, show, "consul-template stopped")


@pytest.mark.more
def test_l2_damaged_catalog(site, balancer, show):
    """Its owner would not write it again before the catalog changes."""
    since = float(balancer.run("date +%s.%N"))
    printed = balancer.run(f"echo '<html>' > {STATE}/catalog.json && discovery-balancer sync")
    # The resident program sees it, too, and may have healed it before anybody asks for the status.
    printed += balancer.run(f"journalctl -u discovery-balancer -o cat --since @{since:.3f}")
    assert "catalog.json is not JSON" in printed
    serves(site, balancer)
    healed(balancer, show, "damaged catalog")


@pytest.mark.more
def test_l2_template_that_makes_no_catalog(site, balancer, show):
    with template_edited(balancer, f"echo 'no JSON' > {TEMPLATE}"):
        broken(site, balancer, show, "template without JSON", "catalog.json is not JSON")
    healed(balancer, show, "template without JSON")


@pytest.mark.more
def test_l2_stopped_agent(site, balancer, show):
    balancer.run("systemctl stop consul")
    try:
        _, seconds = eventually(lambda: says(balancer, "Consul at 127.0.0.1:8501 does not answer"), MINUTE)
        show(f"agent stopped: reported after {seconds:.0f} s")
        assert http_get(balancer.address, site.host_of("httpfront")).headers["X-Instance"]  # whatever that finds in DNS
    finally:
        balancer.run("systemctl start consul")
    healed(balancer, show, "agent stopped")


@pytest.mark.more
def test_l2_full_disk(site, balancer, start_container, show):
    """The state directory of discovery-balancer on a small file system of its own, which fills."""
    balancer.run(
        f"mkdir -p /mnt/kept && mount --bind --make-private {STATE} /mnt/kept"
        f" && mount -t tmpfs -o size=512k,mode=755 tmpfs {STATE}"
        f" && cp -a /mnt/kept/. {STATE}/ && dd if=/dev/zero of={STATE}/filler bs=1k 2>/dev/null; test -s {STATE}/filler"
    )
    try:
        name = "test-full"
        start_container(site.docker_hosts[-1], name, "httpbackend:v1.0.0", f"-e SERVICE_NAME={name} -e SERVICE_TAGS=http")
        broken(site, balancer, show, "full disk", "o space left on device")
        assert http_get(balancer.address, site.host_of(name)).status == 503
        balancer.run(f"rm {STATE}/filler")
        healed(balancer, show, "full disk")
        _, seconds = eventually(lambda: http_get(balancer.address, site.host_of(name)).body == BACKEND_BODY, MINUTE)
        show(f"full disk: the new service is served {seconds:.1f} s later")
    finally:
        balancer.run(
            f"systemctl stop discovery-balancer consul-template; rm -f {STATE}/filler; rm -rf /mnt/kept/generations"
            f" && cp -a {STATE}/. /mnt/kept/ && umount -l {STATE} && umount -l /mnt/kept && rmdir /mnt/kept;"
            " systemctl start consul-template discovery-balancer"
        )


@pytest.mark.on("load_balancers")
def test_only_root_reads_the_catalog_on_a_balancer(node):
    """It has the environment of containers (SERVICE_*)."""
    assert node.run(f"stat -c %a {STATE}").strip() == "750"
    assert node.tries(f"sudo -u nobody cat {STATE}/catalog.json").rc != 0
    assert node.host.file(f"{STATE}/catalog.json").mode & 0o007 == 0
