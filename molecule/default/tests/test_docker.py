"""dockerd: mutual TLS on the node's address, and the packaged containerd."""

import http.client
import json
import ssl

import pytest


def docker_info(site, node, with_certificate: bool) -> dict:
    """What `docker --tlsverify -H tcp://ADDRESS:2376 info` asks for."""
    bundle = site.secrets / "docker-client"
    context = ssl.create_default_context(cafile=str(bundle / "ca.pem"))
    if with_certificate:
        context.load_cert_chain(bundle / "cert.pem", bundle / "key.pem")
    connection = http.client.HTTPSConnection(node.address, 2376, timeout=10, context=context)
    try:
        connection.request("GET", "/info")
        response = connection.getresponse()
        assert response.status == 200
        return json.load(response)
    finally:
        connection.close()


@pytest.mark.on("docker_hosts")
def test_s1_answers_the_client_certificate(site, node, show):
    info = docker_info(site, node, with_certificate=True)
    show(f"Docker {info['ServerVersion']} on {info['Name']}")
    assert info["Name"] == node.run("hostname")


@pytest.mark.on("docker_hosts")
def test_s1_refuses_a_client_without_certificate(site, node):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        docker_info(site, node, with_certificate=False)


@pytest.mark.on("docker_hosts")
def test_s1_refuses_plain_http(node):
    connection = http.client.HTTPConnection(node.address, 2376, timeout=10)
    connection.request("GET", "/info")
    assert connection.getresponse().status == 400
    connection.close()


@pytest.mark.on("docker_hosts")
def test_s1_keys_are_private(node):
    for key, mode in {"server.key": 0o400, "server.pem": 0o444, "ca.pem": 0o444}.items():
        assert node.host.file(f"/etc/docker/tls/{key}").mode == mode, key


@pytest.mark.on("docker_hosts")
def test_uses_the_packaged_containerd(node):
    assert "--containerd=/run/containerd/containerd.sock" in node.run("cat /proc/$(pidof dockerd)/cmdline | tr '\\0' ' '")


@pytest.mark.on("docker_hosts")
def test_container_logs_rotate(node):
    created = node.run("docker inspect -f '{{json .HostConfig.LogConfig.Config}}' httpfront")
    assert "max-size" in json.loads(created)
