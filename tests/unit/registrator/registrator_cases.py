"""Containers as the engine's inspection shows them, and an agent to apply actions to."""


HOST = "node-1"


def container(name="web", image="httpfront:v1.0.0", ports=None, env=(), labels=None, state=None, mode="bridge",
              networks=None, exposed=(), number=1, **more):  # fmt: skip
    """`ports`: {"80/tcp": 32768} published on all addresses; a list of bindings or None is taken as it is. `more`: the
    configuration of its image, as ImageConfig."""

    def bindings(value):
        if not isinstance(value, int):
            return value
        return [{"HostIp": address, "HostPort": str(value)} for address in ("0.0.0.0", "::")]

    published = {port: bindings(value) for port, value in (ports or {}).items()}
    return {
        "Id": f"{number:02}{name}",
        "Name": f"/{name}",
        "Config": {
            "Image": image,
            "Env": ["PATH=/bin", *env],
            "Labels": dict(labels or {}),
            "ExposedPorts": {port: {} for port in (*published, *exposed)} or None,
        },
        "State": {"Status": "running", "Running": True, "Paused": False, "ExitCode": 0, **(state or {})},
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Ports": published, "Networks": networks or {}},
        **more,
    }


def apply(actions, services, checks):
    """What the agent does with actions, as seen on Consul 1.22: a known check keeps its status."""
    services, checks = dict(services), dict(checks)
    for action in actions:
        match type(action).__name__:
            case "Deregister":
                del services[action.service]
                checks = {key: check for key, check in checks.items() if check["ServiceID"] != action.service}
            case "Register":
                payload = action.payload
                services[payload["ID"]] = {
                    "ID": payload["ID"], "Service": payload["Name"],
                    **{key: payload[key] for key in ("Address", "Port", "Tags", "Meta")},
                }  # fmt: skip
                check = payload["Check"]
                old = checks.get(check["CheckID"], {})
                checks[check["CheckID"]] = {
                    "ServiceID": payload["ID"],
                    "Status": old.get("Status", check.get("Status", "critical")),
                    "Output": old.get("Output", ""),
                }
                if action.health:
                    checks[check["CheckID"]].update(Status=action.health[0], Output=action.health[1])
            case "DropCheck":
                del checks[action.check]
            case "SetHealth":
                checks[action.check] = {**checks[action.check], "Status": action.status, "Output": action.output}
    return services, checks


