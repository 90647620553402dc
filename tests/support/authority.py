"""A CA as a site has one, with what it signs."""

import contextlib
import datetime
import http.server
import ipaddress
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


class Authority:
    """A CA; its files go into a folder of their own."""

    def __init__(self, folder):
        folder.mkdir()
        self.folder, self.key, self.name = folder, ec.generate_private_key(ec.SECP256R1()), _name("a CA")
        self.ca = self._write("ca.pem", self._sign(self.name, self.key, x509.BasicConstraints(True, None)))

    def issue(self, name, *addresses):
        """Certificate and key, each a file, for addresses and DNS names."""
        key = ec.generate_private_key(ec.SECP256R1())
        san = x509.SubjectAlternativeName(list(map(_alternative, addresses)))
        certificate = self._write(f"{name}.pem", self._sign(_name(name), key, *([san] if addresses else [])))
        file = self.folder / f"{name}.key"
        file.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ))  # fmt: skip
        return certificate, str(file)

    def _sign(self, subject, key, *extensions):
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY)
        for extension in (*extensions, x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())):
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        if extensions and isinstance(extensions[0], x509.BasicConstraints):
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def _write(self, name, certificate):
        (self.folder / name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return str(self.folder / name)


def _alternative(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def tls(authority, *addresses, clients_of=None):
    """A server's side of TLS, which with `clients_of` wants certificates of that CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", *addresses))
    if clients_of:
        context.load_verify_locations(clients_of.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextlib.contextmanager
def serving(authority, handler):
    """A server on a port of 127.0.0.1, with a certificate of a CA; yields the port.

    :param handler: class of http.server, which answers
    """
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None
        server.socket = tls(authority, "127.0.0.1").wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_port
        server.shutdown()
