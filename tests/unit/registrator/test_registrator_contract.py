"""R4: one golden case, or several, for each row of the contract table in docs/registrator.md."""

import re
from pathlib import Path

import pytest

from registrator.actions import registration
from registrator.marker import Owner
from registrator.options import Options, parse
from registrator.wanted import wanted
from registrator_cases import HOST, container

DOCS = Path(__file__).parents[3] / "docs/registrator.md"
VERDICTS = ("same", "better", "not supported")
HEALTH = {"Name": "health", "TTL": "8760h", "Notes": "state of the container in dockerd"}
ONE, TWO = {"80/tcp": 32768}, {"80/tcp": 32768, "443/tcp": 32769}
NETWORKS = {"app": {"IPAddress": "172.18.0.5"}, "web": {"IPAddress": "10.9.0.5"}}
TARGET = "192.0.2.1:32768"


def case(row, labels=None, *, services=(), skipped="", flags="-ip 192.0.2.1", overlays=(), ports=ONE, **given):
    """:param services: what is registered, in the order of ids: the fields that matter
    :param skipped: part of the only reason that is reported
    """
    return pytest.param(labels, services, skipped, flags, overlays, ports, given, id=row)


def checked(row, labels, check, skipped=""):
    labels = {f"SERVICE_CHECK_{key}": value for key, value in labels.items()}
    check = {"Timeout": "5s", **check} if "Interval" in check else check  # the default of all that ask over the network
    check = {"DisableRedirects": True, "OutputMaxSize": 128, **check} if "HTTP" in check else check
    return case(row, labels, services=[{"check": check}], skipped=skipped)


def one(**fields):
    return [fields]


GOLDEN = [
    # --- names, ids
    case("default name", image="registry:5000/team/web:1.0@sha256:abc", services=one(name="web", port=32768)),
    case("several ports", ports=TWO, services=[{"name": "httpfront-443"}, {"name": "httpfront-80"}]),
    case("several ports", {"SERVICE_NAME": "x"}, ports=TWO, services=[{"name": "x-443"}, {"name": "x-80"}]),
    case("several ports", {"SERVICE_443_IGNORE": "1"}, ports=TWO, services=one(name="httpfront-80")),
    case("several ports", ports={"80/tcp": 1, "443/tcp": None}, services=one(name="httpfront"), skipped="not published"),
    case("several ports", ports={"53/tcp": 1, "53/udp": 2},
         services=[{"id": "node-1:web:53", "name": "httpfront-53"}, {"id": "node-1:web:53:udp", "name": "httpfront-53"}]),
    case("default id", name="web.1", services=one(id="node-1:web.1:80")),
    case("udp", ports={"53/udp": 5353}, services=one(id="node-1:web:53:udp", tags=("udp",), udp=True)),
    case("udp", {"SERVICE_ID": "x", "SERVICE_TAGS": "tcp"}, ports={"53/udp": 1},
         services=one(id="x", tags=("tcp", "udp"), udp=True)),
    case("udp", {"SERVICE_TAGS": "udp"}, ports={"53/tcp": 5353}, services=one(id="node-1:web:53", tags=("udp",), udp=False)),
    # --- labels and environment
    case("label or environment", {"SERVICE_NAME": "label"}, env=["SERVICE_NAME=env", "SERVICE_TAGS=env"],
         services=one(name="label", tags=("env",))),
    case("SERVICE_NAME", {"SERVICE_NAME": "x"}, services=one(name="x")),
    case("SERVICE_NAME", {"SERVICE_NAME": ""}, services=one(name="httpfront")),
    case("SERVICE_<port>_NAME", {"SERVICE_80_NAME": "y"}, ports=TWO, services=[{"name": "httpfront-443"}, {"name": "y"}]),
    case("SERVICE_<port>_NAME", {"SERVICE_NAME": "x", "SERVICE_80_NAME": "y"}, ports=TWO,
         services=[{"name": "x-443"}, {"name": "y"}]),
    case("SERVICE_<port>_NAME", {"SERVICE_8080_NAME": "y"}, services=one(name="httpfront"), skipped="no such port"),
    case("SERVICE_TAGS", {"SERVICE_TAGS": "a,b"}, services=one(tags=("a", "b"))),
    case("SERVICE_TAGS", {"SERVICE_TAGS": r"a\,b,c"}, services=one(tags=("a,b", "c"))),
    case("SERVICE_TAGS", {"SERVICE_TAGS": " a , b ,,a"}, services=one(tags=("a", "b"))),
    case("SERVICE_TAGS", {"SERVICE_TAGS": ""}, services=one(tags=())),
    case("SERVICE_ID", {"SERVICE_ID": "mine"}, services=one(id="mine")),
    case("SERVICE_IGNORE", {"SERVICE_IGNORE": "1"}),
    case("SERVICE_IGNORE", {"SERVICE_IGNORE": "false"}),
    case("SERVICE_IGNORE", {"SERVICE_IGNORE": ""}, services=one(name="httpfront")),
    case("SERVICE_<port>_IGNORE", {"SERVICE_80_IGNORE": "1"}, ports=TWO, services=one(id="node-1:web:443")),
    case("SERVICE_<KEY>", {"SERVICE_VERSION": "v1", "SERVICE_80_Weight": "3", "OTHER": "no"},
         services=one(meta={"version": "v1", "weight": "3"})),
    case("SERVICE_<KEY>", {"SERVICE_CHECK_TCP": "1"}, services=one(meta={})),
    case("SERVICE_<port>_<KEY>", {"SERVICE_TAGS": "all", "SERVICE_80_TAGS": "port", "SERVICE_81_X": "no"},
         services=one(tags=("port",), meta={})),
    case("SERVICE_<port>_<protocol>_<KEY>", {"SERVICE_80_tcp_NAME": "x"}, services=one(name="httpfront", meta={"tcp_name": "x"})),
    case("SERVICE_<port>-<port>_IGNORE", {"SERVICE_80-90_IGNORE": "1"}, services=one(meta={"80-90_ignore": "1"})),
    case("SERVICE_ENABLE_TAG_OVERRIDE", {"SERVICE_ENABLE_TAG_OVERRIDE": "true"},
         services=one(meta={"enable_tag_override": "true"})),
    case("labels and environment of the image", {"SERVICE_NAME": "x"}, ImageConfig={"Labels": {"SERVICE_NAME": "x"}},
         services=one(name="httpfront"), skipped="comes with the image"),
    case("labels and environment of the image", env=["SERVICE_TAGS=http"], ImageConfig={"Env": ["SERVICE_TAGS=http"]},
         services=one(tags=()), skipped="comes with the image"),
    case("labels and environment of the image", {"SERVICE_NAME": "own"}, ImageConfig={"Labels": {"SERVICE_NAME": "x"}},
         services=one(name="own")),
    # --- checks
    case("no SERVICE_CHECK_*", services=one(check=HEALTH, health=("passing", ""))),
    checked("SERVICE_CHECK_HTTP", {"HTTP": "/health"}, {"Name": "http", "HTTP": f"http://{TARGET}/health", "Interval": "5s"}),
    checked("SERVICE_CHECK_HTTP", {"HTTP": "health"}, {"Name": "http", "HTTP": f"http://{TARGET}/health", "Interval": "5s"}),
    checked("SERVICE_CHECK_HTTPS", {"HTTPS": "/"}, {"Name": "https", "HTTP": f"https://{TARGET}/", "Interval": "5s"}),
    checked("SERVICE_CHECK_HTTP_METHOD", {"HTTP": "/", "HTTP_METHOD": "HEAD"},
            {"Name": "http", "HTTP": f"http://{TARGET}/", "Interval": "5s", "Method": "HEAD"}),
    checked("SERVICE_CHECK_HTTP_METHOD", {"HTTPS": "/", "HTTP_METHOD": "HEAD"},
            {"Name": "https", "HTTP": f"https://{TARGET}/", "Interval": "5s", "Method": "HEAD"}),
    checked("SERVICE_CHECK_HTTP_METHOD", {"HTTP": "/", "HTTP_METHOD": "get"},
            {"Name": "http", "HTTP": f"http://{TARGET}/", "Interval": "5s", "Method": "GET"}),
    checked("SERVICE_CHECK_HTTP_METHOD", {"HTTP": "/", "HTTP_METHOD": "DELETE"},
            {"Name": "http", "HTTP": f"http://{TARGET}/", "Interval": "5s"}, skipped="none of GET, HEAD"),
    checked("SERVICE_CHECK_TCP", {"TCP": "yes, please"}, {"Name": "tcp", "TCP": TARGET, "Interval": "5s"}),
    checked("SERVICE_CHECK_TTL", {"TTL": "30s"}, {"Name": "ttl", "TTL": "30s"}),
    checked("SERVICE_CHECK_GRPC", {"GRPC": "true"}, {"Name": "grpc", "GRPC": TARGET, "Interval": "5s"}),
    checked("SERVICE_CHECK_GRPC_USE_TLS", {"GRPC": "true", "GRPC_USE_TLS": "1"},
            {"Name": "grpc", "GRPC": TARGET, "Interval": "5s", "GRPCUseTLS": True}),
    checked("SERVICE_CHECK_TLS_SKIP_VERIFY", {"HTTPS": "/", "TLS_SKIP_VERIFY": "1"},
            {"Name": "https", "HTTP": f"https://{TARGET}/", "Interval": "5s", "TLSSkipVerify": True}),
    checked("SERVICE_CHECK_TLS_SKIP_VERIFY", {"GRPC": "1", "GRPC_USE_TLS": "1", "TLS_SKIP_VERIFY": "1"},
            {"Name": "grpc", "GRPC": TARGET, "Interval": "5s", "GRPCUseTLS": True, "TLSSkipVerify": True}),
    checked("SERVICE_CHECK_INTERVAL", {"TCP": "1", "INTERVAL": "1m30s"}, {"Name": "tcp", "TCP": TARGET, "Interval": "1m30s"}),
    checked("SERVICE_CHECK_INTERVAL", {"TCP": "1", "INTERVAL": "soon"}, {"Name": "tcp", "TCP": TARGET, "Interval": "5s"},
            skipped="not a duration"),
    checked("SERVICE_CHECK_TIMEOUT", {"TCP": "1", "TIMEOUT": "2s"},
            {"Name": "tcp", "TCP": TARGET, "Interval": "5s", "Timeout": "2s"}),
    checked("SERVICE_CHECK_INITIAL_STATUS", {"TCP": "1", "INITIAL_STATUS": "passing"},
            {"Name": "tcp", "TCP": TARGET, "Interval": "5s", "Status": "passing"}),
    checked("SERVICE_CHECK_DEREGISTER_AFTER", {"TTL": "30s", "DEREGISTER_AFTER": "10m"},
            {"Name": "ttl", "TTL": "30s", "DeregisterCriticalServiceAfter": "10m"}),
    checked("SERVICE_CHECK_CMD", {"CMD": "/bin/true"}, HEALTH, skipped="use a HEALTHCHECK"),
    checked("SERVICE_CHECK_SCRIPT", {"SCRIPT": "curl $SERVICE_IP"}, HEALTH, skipped="use a HEALTHCHECK"),
    case("SERVICE_<port>_CHECK_<KEY>", {"SERVICE_CHECK_TTL": "9s", "SERVICE_80_CHECK_TTL": "7s"},
         services=one(check={"Name": "ttl", "TTL": "7s"})),
    case("HTTP, HTTPS, TCP, gRPC on a UDP port", {"SERVICE_CHECK_TCP": "1"}, ports={"53/udp": 5353},
         services=one(check=HEALTH, health=("passing", "")), skipped="this is a UDP port"),
    case("HTTP, HTTPS, TCP, gRPC on a UDP port", {"SERVICE_CHECK_TTL": "9s"}, ports={"53/udp": 5353},
         services=one(check={"Name": "ttl", "TTL": "9s"})),
    checked("several SERVICE_CHECK_*", {"TCP": "1", "GRPC": "1", "TTL": "9s", "HTTPS": "/", "HTTP": "/"},
            {"Name": "http", "HTTP": f"http://{TARGET}/", "Interval": "5s"}),
    # --- address and port
    case("published port", ports={"80/tcp": [{"HostIp": "::", "HostPort": "8080"}, {"HostIp": "", "HostPort": "8080"}]},
         services=one(address="192.0.2.1", port=8080)),
    case("published on one address", ports={"80/tcp": [{"HostIp": "198.51.100.7", "HostPort": "8080"}]},
         services=one(address="198.51.100.7", port=8080)),
    case("published on a loopback address", ports={"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "80"}]}, skipped="loopback"),
    case("exposed, not published", ports={}, exposed=["80/tcp"], skipped="not published on the host"),
    case("--net=host", mode="host", ports={}, exposed=["8080/tcp"], services=one(address="192.0.2.1", port=8080)),
    case("--net=host", {"SERVICE_NAME": "x"}, mode="host", ports={}, skipped="it has no port"),
    case("an address or port that is no application's", mode="host", ports={}, exposed=["8500/tcp"], skipped="platform"),
    case("an address or port that is no application's", {"ip": "127.0.0.1"}, flags="-useIpFromLabel ip", skipped="loopback"),
    case("an address or port that is no application's", {"ip": "169.254.169.254"}, flags="-useIpFromLabel ip",
         skipped="link-local"),
    case("an address or port that is no application's", ports={"80/tcp": [{"HostIp": "::ffff:127.0.0.1", "HostPort": "80"}]},
         skipped="loopback"),
    case("an address or port that is no application's", flags="-internal", mode="app", networks=NETWORKS, exposed=["8500/tcp"],
         ports={}, services=one(address="172.18.0.5", port=8500)),
    case("user-defined network", mode="app", networks=NETWORKS, services=one(address="192.0.2.1", port=32768)),
    # --- flags
    case("-ip", flags="-ip 198.51.100.9", services=one(address="198.51.100.9")),
    case("-ip", flags="", services=one(address="")),
    case("-ip", flags="-ip 2001:db8::1", labels={"SERVICE_CHECK_TCP": "1"},
         services=one(check={"Name": "tcp", "TCP": "[2001:db8::1]:32768", "Interval": "5s", "Timeout": "5s"})),
    case("-internal", flags="-internal", mode="app", networks=NETWORKS, services=one(address="172.18.0.5", port=80)),
    case("-internal", flags="-internal", mode="app", networks=NETWORKS, overlays=["web"],
         services=one(address="10.9.0.5", port=80)),
    case("-network", flags="-internal -network web", mode="app", networks=NETWORKS, services=one(address="10.9.0.5", port=80)),
    case("-network", flags="-ip 192.0.2.1 -internal -network x", mode="app", networks=NETWORKS,
         services=one(address="192.0.2.1", port=32768)),
    case("-explicit", flags="-explicit"),
    case("-explicit", {"SERVICE_NAME": "x"}, flags="-explicit", services=one(name="x")),
    case("-useIpFromLabel", {"ip": "10.9.0.7/24"}, flags="-useIpFromLabel ip", services=one(address="10.9.0.7", port=32768)),
    case("-useIpFromLabel", {"ip": "2001:db8::7"}, flags="-internal -useIpFromLabel ip", networks=NETWORKS,
         services=one(address="2001:db8::7", port=80)),
    case("-useIpFromLabel", {}, flags="-ip 192.0.2.1 -useIpFromLabel ip", services=one(address="192.0.2.1")),
    case("-useIpFromLabel", {"ip": "soon"}, flags="-ip 192.0.2.1 -useIpFromLabel ip", services=one(address="192.0.2.1"),
         skipped="not an IP address"),
    case("-useIpFromLabel", {"ip": "10.9.0.5", "SERVICE_CHECK_HTTP": "/"}, flags="-useIpFromLabel ip", networks=NETWORKS,
         overlays=["web"], services=one(address="10.9.0.5", check=HEALTH), skipped="overlay"),
    case("-image-labels", {"SERVICE_NAME": "patients"}, flags="-image-labels", services=one(name="patients")),
    case("-labels-only", {"SERVICE_NAME": "x"}, env=["SERVICE_TAGS=http"], flags="-labels-only", services=one(name="x", tags=()),
         skipped="use a label"),
    case("-allowed", {"SERVICE_NAME": "shop-1"}, flags="-allowed a,shop-*", services=one(name="shop-1")),
    case("-allowed", {"SERVICE_NAME": "ab"}, flags="-allowed a,shop-*", skipped="not one of this host's"),
    case("-reserved", {"SERVICE_NAME": "Patients"}, flags="-reserved a,patients", skipped="reserved for other hosts"),
    case("-tags", {"SERVICE_TAGS": "a"}, flags=r"-tags x,y\,z,a", services=one(tags=("a", "x", "y,z"))),
]  # fmt: skip


@pytest.mark.parametrize("labels, services, skipped, flags, overlays, ports, given", GOLDEN)
def test_r4_contract(labels, services, skipped, flags, overlays, ports, given):
    result = wanted([container(labels=labels, ports=ports, **given)], parse(flags.split()), HOST, frozenset(overlays))
    assert len(result.services) == len(services), result
    for found, expected in zip(result.services, services, strict=True):
        assert {field: getattr(found, field) for field in expected} == expected
    assert [skipped in item.reason for item in result.skipped] == [True] * bool(skipped)


def table() -> list[list[str]]:
    """Rows of the contract: form, verdict, the original, here, test."""
    text = DOCS.read_text(encoding="utf-8").partition("<!-- contract -->")[2].partition("<!-- /contract -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows[2:] if not row[0].startswith("**")]


def test_the_table_has_what_the_golden_cases_have():
    rows = [form.replace("`", "") for form, _, _, _, test in table() if test == "golden case"]
    assert len(rows) == len(set(rows))
    assert set(rows) == {param.id for param in GOLDEN}


def test_every_row_has_a_verdict_and_a_test_that_exists():
    files = Path(__file__).parent.glob("test_*.py")
    known = {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.M)}
    assert len(table()) > 60
    for form, verdict, _, text, test in table():
        named = set(re.findall(r"`(\w+)`", test))
        assert verdict in VERDICTS, form
        assert verdict == "same" or text, form
        assert test == "golden case" or (named and named <= known), (form, test)


def test_w63_the_document_says_which_check_an_application_passes():
    given = container("shop", ports={"8080/tcp": 32768}, labels={"SERVICE_CHECK_TTL": "30s"})
    (service,) = wanted([given], Options(ip="192.0.2.1"), "app-1").services
    check = registration(service, Owner("app-1"))["Check"]
    assert check["TTL"] == "30s"
    assert f"PUT /v1/agent/check/pass/{check['CheckID']} " in DOCS.read_text()
