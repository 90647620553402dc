"""S1: dockerd over mutual TLS, and settings that must never reach it."""

import http.client
import json

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.support.docker import PORT, REFUSED, as_admin, ask, bundle, edited, expired_client, usages
from tests.support.playbook import play

DAEMON_JSON = "/etc/docker/daemon.json"


def state(site) -> dict:
    """When each dockerd was started, and its configuration."""
    return {
        node.name: (*node.unit("docker", "MainPID", "ActiveEnterTimestampMonotonic"), node.run(f"sha256sum {DAEMON_JSON}"))
        for node in site.docker_hosts
    }


def refused(site, words, *options) -> None:
    """The preflight stops with these words and changes nothing."""
    before = state(site)
    done, _ = play(site, "playbooks/preflight.yml", *options)
    output = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert [word for word in words if word not in output] == [], output[-3000:]
    assert "changed=1" not in output
    assert state(site) == before


def test_s1_the_docker_client_with_the_bundle(site, show):
    """The command of a person, on another machine than dockerd's where there is one."""
    asking = site.docker_hosts[0]
    asking.run("install -d -m 0700 /root/bundle")
    try:
        for file in ("ca.pem", "cert.pem", "key.pem"):
            asking.feed(f"tee /root/bundle/{file} >/dev/null", (bundle(site) / file).read_text())
        for node in site.docker_hosts:
            printed = asking.run(
                f"DOCKER_CERT_PATH=/root/bundle docker --tlsverify -H tcp://{node.address}:{PORT} info -f '{{{{json .}}}}'"
            )
            info = json.loads(printed)
            assert info["Name"] == node.run("hostname")
            show(f"Docker {info['ServerVersion']} on {info['Name']}")
    finally:
        asking.run("rm -r /root/bundle")


@pytest.mark.more
@pytest.mark.on("docker_hosts")
def test_s1_refuses_a_client_without_certificate(site, node):
    with pytest.raises(REFUSED):
        ask(site, node, "/info", None, None)


@pytest.mark.more
@pytest.mark.on("docker_hosts")
def test_s1_refuses_plain_http(node):
    connection = http.client.HTTPConnection(node.address, PORT, timeout=10)
    connection.request("GET", "/info")
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.on("docker_hosts")
def test_s1_refuses_a_server_certificate_as_client(site, node, tmp_path):
    for name in ("server.pem", "server.key"):
        (tmp_path / name).write_text(node.run(f"cat /etc/docker/tls/{name}") + "\n")
    with pytest.raises(REFUSED):
        ask(site, node, "/info", tmp_path / "server.pem", tmp_path / "server.key")


@pytest.mark.on("docker_hosts")
def test_s1_refuses_an_expired_client_certificate(site, node, tmp_path):
    with pytest.raises(REFUSED):
        ask(site, node, "/info", *expired_client(site, tmp_path))


@pytest.mark.on("docker_hosts")
def test_s1_the_certificate_is_good_for_each_name_and_declared_address(site, node):
    """For no other address, those of dockerd's bridges among them (W20)."""
    links = json.loads(node.run("ip -json -4 address show scope global"))
    others = {entry["local"] for link in links for entry in link["addr_info"]} - {node.address}
    names = {node.name, node.run("hostname"), "localhost", f"{node.name}.node.{site.datacenter}.consul"}
    for name in names | {node.address, "127.0.0.1"}:
        assert as_admin(site, node, "/info", name)["Name"] == node.run("hostname"), name
    assert others, "no bridge to compare with"
    for address in others:
        with pytest.raises(REFUSED):
            as_admin(site, node, "/info", address)


@pytest.mark.on("docker_hosts")
def test_s1_the_server_certificate_is_a_server_s_only(node):
    certificate = x509.load_pem_x509_certificate(node.run("cat /etc/docker/tls/server.pem").encode())
    assert usages(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_s1_the_client_certificate_is_a_client_s_only(site):
    certificate = x509.load_pem_x509_certificate((bundle(site) / "cert.pem").read_bytes())
    assert usages(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert (bundle(site) / "key.pem").stat().st_mode & 0o777 == 0o600
    assert bundle(site).stat().st_mode & 0o777 == 0o700


@pytest.mark.more
@pytest.mark.on("docker_hosts")
def test_s1_keys_are_private(node):
    for file, mode in {"server.key": 0o400, "server.pem": 0o444, "ca.pem": 0o444}.items():
        assert node.host.file(f"/etc/docker/tls/{file}").mode == mode, file


# --- settings that must never reach dockerd


@pytest.mark.more
def test_s1_live_restore_with_an_overlay_is_refused(site):
    version = site.docker_hosts[0].run("docker version -f '{{.Server.Version}}'").partition("+")[0]
    words = ["dockerd_extra_config sets live-restore", version, "discovery_overlay: none"]
    refused(site, words, "-e", json.dumps({"dockerd_extra_config": {"live-restore": True}}))


@pytest.mark.more
def test_s1_live_restore_of_the_host_is_refused(site):
    node = site.docker_hosts[-1]
    with edited(node, DAEMON_JSON):
        config = json.loads(node.run(f"cat {DAEMON_JSON}")) | {"live-restore": True}
        node.run(f"printf %%s %s >{DAEMON_JSON}", json.dumps(config))
        refused(site, [f"{DAEMON_JSON} sets live-restore on {node.name}"])


@pytest.mark.more
@pytest.mark.overlay("swarm")
def test_s1_the_consul_overlay_is_refused_where_dockerd_has_no_cluster_store(site):
    version = site.docker_hosts[0].run("docker version -f '{{.Server.Version}}'").partition("+")[0]
    refused(site, ["dockerd_overlay is 'consul'", version, "discovery_overlay: swarm"], "-e", "discovery_overlay=consul")


@pytest.mark.more
def test_s1_flags_that_would_be_lost_are_refused(site):
    node = site.docker_hosts[-1]
    with edited(node, "/etc/default/docker"):
        node.run("echo 'DOCKER_OPTS=\"--mtu 1400\"' >>/etc/default/docker")
        refused(site, [f"/etc/default/docker of {node.name} sets DOCKER_OPTS (--mtu 1400)", "dockerd_extra_config"])


@pytest.mark.more
def test_s1_a_wrong_setting_never_reaches_dockerd(site):
    node, before = site.docker_hosts[-1], state(site)
    wrong = json.dumps({"dockerd_extra_config": {"log-levle": "info"}})
    done, _ = play(site, "playbooks/docker.yml", "--limit", node.name, "-e", wrong)
    assert done.returncode != 0
    assert "log-levle" in done.stdout
    assert state(site) == before


# --- changes


@pytest.mark.more
def test_s1_changes_host_by_host(site, show):
    """A setting that SIGHUP applies restarts nothing; one that is removed restarts dockerd on one host after the other."""
    before = {node.name: node.unit("docker", "MainPID") for node in site.docker_hosts}
    done, seconds = play(site, "playbooks/docker.yml", "-e", json.dumps({"dockerd_extra_config": {"debug": True}}))
    assert done.returncode == 0, done.stdout[-3000:]
    assert [as_admin(site, node, "/info")["Debug"] for node in site.docker_hosts] == [True] * len(site.docker_hosts)
    assert {node.name: node.unit("docker", "MainPID") for node in site.docker_hosts} == before
    show(f"a reload of dockerd on {len(before)} hosts: {seconds:.0f} s")

    done, seconds = play(site, "playbooks/docker.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert not any(as_admin(site, node, "/info")["Debug"] for node in site.docker_hosts)
    nodes = sorted(site.docker_hosts, key=lambda node: node.name)
    times = {node.name: [int(t) for t in node.unit("docker", "InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")]
             for node in nodes}  # fmt: skip
    for first, second in zip(nodes, nodes[1:], strict=False):
        assert times[second.name][0] > times[first.name][1], f"{second.name} did not wait for {first.name}: {times}"
    show(f"a restart of dockerd on {len(before)} hosts, one after the other: {seconds:.0f} s")


@pytest.mark.more
def test_s1_a_package_that_is_installed_again_leaves_the_configuration(site):
    """By hand, which ends the hold on the package that has the cluster store; so that is put back by hand as well."""
    node = site.docker_hosts[-1]
    held = " ".join(node.run("apt-mark showhold").split())
    node.run("apt-get install -y --reinstall docker.io && systemctl restart docker")
    node.run(f"[ -z '{held}' ] || apt-mark hold {held}")
    assert as_admin(site, node, "/info")["Name"] == node.run("hostname")
