"""X8 on a node: a container whose answers lead the agent elsewhere, and what the agent fetches."""

import shlex

from tests.support.wait import eventually

NAME, SECRET, PORT = "test-x8", "x8-of-the-loopback", 18765
# Answers every request with a redirect to a service on the host's loopback, and tells its log the method.
SERVER = f"""
import http.server
class Redirect(http.server.BaseHTTPRequestHandler):
    def answer(self):
        print(self.command, flush=True)
        self.send_response(302)
        self.send_header("Location", "http://127.0.0.1:{PORT}/secret")
        self.send_header("Content-Length", "4000")
        self.end_headers()
        self.wfile.write(b"y" * 4000)
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer
http.server.HTTPServer(("", 8000), Redirect).serve_forever()
"""


def test_x8_a_check_fetches_nothing_but_its_container(site, settled, start_container, show):
    node = site.docker_hosts[-1]
    listener = f"mkdir -p /run/{NAME} && echo {SECRET} > /run/{NAME}/secret && systemd-run -q --unit {NAME}"
    node.run(f"{listener} python3 -m http.server {PORT} --bind 127.0.0.1 --directory /run/{NAME}")
    labels = [f"-l SERVICE_{key}" for key in
              (f"NAME={NAME}", "CHECK_HTTP=/", "CHECK_HTTP_METHOD=DELETE", "CHECK_INTERVAL=1s")]  # fmt: skip
    try:
        start_container(node, NAME, f"python:3.13-slim python3 -c {shlex.quote(SERVER)}", "--init", "--expose 8000", *labels)

        def results() -> list[dict]:
            """At the agent: it tells the catalog of another output minutes later."""
            checks = site.consul(node).get("/v1/agent/checks").values()
            return [one for one in checks if one["ServiceName"] == NAME and "302" in one["Output"]]

        (check,), _ = eventually(results, 40)
        methods = set(node.run(f"docker logs {NAME} 2>/dev/null").split())
        asked = node.run(f"journalctl --no-pager -q -u {NAME}")
        show(f"{check['Status']}, {len(check['Output'])} characters, methods {sorted(methods)}")
        assert check["Status"] != "passing" and SECRET not in check["Output"] and len(check["Output"]) < 400
        assert methods == {"GET"}
        assert "/secret" not in asked, "the agent followed the redirect"
    finally:
        node.run(f"systemctl stop {NAME}; rm -rf /run/{NAME}")
