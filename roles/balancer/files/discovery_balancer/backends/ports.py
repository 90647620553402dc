"""Whether a load balancer of this host could listen on a port. Found by trying: no server's own check sees it."""

import errno
import ipaddress
import socket


def taken(port, listen) -> str:
    """Why nobody could listen on this port; "" when somebody could.

    :param port: a number of TCP, or such as "5140/udp"
    :param listen: the addresses to listen on
    """
    port, _unused, udp = str(port).partition("/")
    title = f"UDP port {port}" if udp else f"port {port}"
    for address in listen:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as probe:
            if not udp:  # of UDP two processes could have the port then
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, int(port)))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    return f"{title} is taken by another process on this host"
                return f"{title} cannot be used: {error.strerror}"
    return ""
