"""Certificates for TLS tests: an authority and server certificates that it signs."""

import datetime
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Writes its files into `folder`: ca_file, and issue() -> (cert_file, key_file)."""

    def __init__(self, folder, name="Larder test authority"):
        self.folder = str(folder)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self._cert = self._sign(self._name, self._key, [
            (x509.BasicConstraints(ca=True, path_length=None), True)])
        self.ca_file = self._write("ca.pem", self._cert.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names, days=1, file=None):
        """A certificate for these host names or addresses; days < 0: already expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        alt = x509.SubjectAlternativeName([_general_name(n) for n in names])
        cert = self._sign(_name(names[0]), key, [(alt, False)], days)
        base = file or names[0].replace("*", "any").replace(":", "_")
        return (self._write(f"{base}.crt", cert.public_bytes(serialization.Encoding.PEM)),
                self._write(f"{base}.key", key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption())))

    def server_context(self, *names, **kw):
        """For a FakeOrigin(tls=…)."""
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        ctx.load_cert_chain(*self.issue(*names, **kw))
        return ctx

    def client_context(self):
        """For a RawClient(tls=…) that trusts this authority only."""
        return ssl.create_default_context(cafile=self.ca_file)

    def _sign(self, subject, key, extensions, days=1):
        now = datetime.datetime.utcnow()
        first = min(now, now + datetime.timedelta(days=days)) - datetime.timedelta(hours=1)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self._name)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(first).not_valid_after(now + datetime.timedelta(days=days)))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, file, data):
        path = os.path.join(self.folder, file)
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, 0o600)
        return path


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(text):
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
