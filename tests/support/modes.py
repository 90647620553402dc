"""Directories of the platform that daemons and users who are not root have to enter (W4)."""

OPEN = (
    "/etc/systemd/resolved.conf.d /etc/systemd/system/*.service.d"
    " /etc/systemd/network/*.d /etc/docker/tls /opt/consul/* /opt/registrator /usr/local/lib/discovery-balancer"
    " /usr/local/lib/discovery-balancer/*"
)


def closed(node) -> str:
    """Those on a host that not everybody may enter and read; '' for none."""
    return node.run(f"for one in {OPEN}; do [ ! -d $one ] || find $one -maxdepth 0 -type d ! -perm -0055; done")
