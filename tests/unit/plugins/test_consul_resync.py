"""Stale entries of a restored catalog, and when it equals the agents again."""

from ansible_collections.fewnodes.discovery.plugins.modules.consul_resync import differences, left_nodes, stale_entries

ME = {"name": "a", "id": "new"}
CONSUL, OLD = {"consul": ":8300"}, {"old": "192.0.2.1:80"}
SERVICES = {"web-1": "192.0.2.1:32768", "db": "192.0.2.1:5432"}
LOCAL = {"services": SERVICES, "checks": ["service:web-1"]}


def entry(**changes):
    return {"id": "new", "services": SERVICES | CONSUL, "checks": ["service:web-1", "serfHealth"]} | changes


def found(catalog=None):
    return stale_entries(ME, LOCAL, catalog or entry())


def test_a_catalog_that_is_right_stays():
    assert found() == []


def test_an_entry_under_an_old_id_goes_as_a_whole():
    assert found(entry(id="old", services=OLD)) == [{"Node": "a"}]


def test_what_the_agent_does_not_have_goes():
    catalog = entry(services=SERVICES | CONSUL | OLD, checks=["serfHealth", "service:web-1", "_node_maintenance"])
    assert found(catalog) == [{"Node": "a", "ServiceID": "old"}, {"Node": "a", "CheckID": "_node_maintenance"}]


def test_a_service_at_its_old_port_goes():
    moved = SERVICES | {"web-1": "192.0.2.1:32769"}
    assert found(entry(services=moved)) == [{"Node": "a", "ServiceID": "web-1"}]
    assert "not like that" in differences(ME, LOCAL, entry(services=moved), "passing")


def test_a_node_that_is_no_member_goes():
    checks = [{"Node": name, "CheckID": "serfHealth"} for name in ("a", "b", "gone", "left")]
    checks.append({"Node": "by-hand", "CheckID": "x"})
    members = [{"Name": name, "Status": status} for name, status in (("a", 1), ("b", 4), ("left", 3))]
    assert left_nodes(checks, members) == [{"Node": "gone"}, {"Node": "left"}]


def test_a_node_that_the_catalog_does_not_know_is_left_to_its_agent():
    assert found(entry(id="", services={}, checks=[])) == []


def test_nothing_missing():
    assert differences(ME, LOCAL, entry(), "passing") == ""


def test_what_is_missing_is_named():
    assert "knows a as old" in differences(ME, LOCAL, entry(id="old"), "passing")
    assert "knows a as nothing" in differences(ME, LOCAL, entry(id="", services={}), "")
    assert differences(ME, LOCAL, entry(services={"db": SERVICES["db"]}), "passing") == "not in the catalog: web-1"
    assert "not like that on the agent: old" in differences(ME, LOCAL, entry(services=SERVICES | OLD), "passing")
    assert "critical" in differences(ME, LOCAL, entry(), "critical")
    assert "without a check" in differences(ME, LOCAL, entry(), "")
