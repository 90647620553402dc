#!/usr/bin/python
from __future__ import annotations

DOCUMENTATION = r"""
module: release_archive
short_description: Fetch a release archive into a cache and verify it
description:
  - Fetches a release in the vendor's layout, C(<mirror>/<name>/<version>/<name>_<version>_SHA256SUMS), its signature
    C(<…>_SHA256SUMS.sig), and the archive C(<name>_<version>_linux_<arch>.zip).
  - The checksums are trusted when a key with the pinned fingerprint signed them, the archive when they name its checksum.
    An archive that fails never gets into the cache.
  - An archive in the cache is verified in the same way, each time. When it passes, no request goes out;
    when it does not, it is fetched again.
  - The checksum of the program in the archive is kept beside it, as C(<archive>.program), for the installed program.
  - Runs on the controller; needs gpg there.
options:
  name:
    description: Name of the release.
    type: str
    required: true
  version:
    description: Version of the release.
    type: str
    required: true
  arch:
    description: Processor of the archive, in the vendor's words.
    type: str
    default: amd64
  mirror:
    description: Base URL of the releases; C(http), C(https) or C(file).
    type: str
    required: true
  cache:
    description: Directory of the archives; is created when it is missing.
    type: path
    required: true
  key:
    description: File with the public key that signs the releases.
    type: path
    required: true
  fingerprint:
    description: Full fingerprint of that key, the primary one.
    type: str
    required: true
  timeout:
    description: Seconds to wait for an answer of the mirror.
    type: int
    default: 10
author: fewnodes.discovery maintainers (@fewnodes)
attributes:
  check_mode:
    description: Verifies what is in the cache, and fetches nothing.
    support: full
"""

EXAMPLES = r"""
- name: Fetch the archive of a release
  fewnodes.discovery.release_archive:
    name: consul
    version: 1.22.7
    mirror: https://releases.hashicorp.com
    cache: ~/.cache/fewnodes.discovery
    key: files/hashicorp.asc
    fingerprint: C874011F0AB405110D02105534365D9472D7468F
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The archive in the cache. In check mode it may not be there yet.
  type: str
  returned: always
program:
  description: SHA-256 of the program of the release's name in the verified archive; empty only in check mode.
  type: str
  returned: always
verified:
  description: Whether the archive is in the cache and verified; false only in check mode.
  type: bool
  returned: always
"""

import contextlib
import hashlib
import http.client
import io
import os
import re
import time
import urllib.error
import zipfile

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import ConnectionError as UrlError
from ansible.module_utils.urls import open_url
from ansible_collections.fewnodes.discovery.plugins.module_utils.files import make_directories
from ansible_collections.fewnodes.discovery.plugins.module_utils.release_signature import (
    SetupError,
    SignatureError,
    fingerprint_of,
    verify,
)

ATTEMPTS = 3


class ReleaseError(Exception):
    """No verified archive; the message has the reason and what to set."""


class Release:
    """One release of one mirror, and its place in the cache.

    :param get: called with a URL; gives the content as bytes, raises OSError
    """

    def __init__(self, parameters: dict, get):
        self.get = get
        self.name = parameters["name"]
        self.stem = f"{parameters['name']}_{parameters['version']}"
        self.archive = f"{self.stem}_linux_{parameters['arch']}.zip"
        self.sums = f"{self.stem}_SHA256SUMS"
        self.url = f"{parameters['mirror'].rstrip('/')}/{parameters['name']}/{parameters['version']}"
        self.cache = parameters["cache"]
        self.key, self.fingerprint = parameters["key"], parameters["fingerprint"]
        self.path = os.path.join(self.cache, self.archive)
        self.program = ""  # its checksum, once the archive is verified

    def problem_of_cache(self) -> str:
        """Why the cache alone does not suffice; '' when it does.

        :raises SetupError: nothing can be verified here
        """
        try:
            sums, signature, archive = (self._cached(name) for name in (self.sums, f"{self.sums}.sig", self.archive))
        except OSError as error:
            return f"{os.path.basename(error.filename)}: {error.strerror}"
        try:
            self._verify(sums, signature, archive)
        except ReleaseError as error:
            return str(error)
        return ""

    def fetch(self) -> None:
        """Fetch what the cache does not have, verify it, and only then put it there.

        :raises ReleaseError: the mirror does not answer, or its answer cannot be trusted
        :raises SetupError: nothing can be verified here
        """
        sums, signature = (self._fetched(name) for name in (self.sums, f"{self.sums}.sig"))
        self._verify_sums(sums, signature)
        try:
            archive = self._cached(self.archive)
            self._verify_archive(archive, sums)
        except (OSError, ReleaseError):
            archive = self._fetched(self.archive)
            self._verify_archive(archive, sums)
        try:
            make_directories(self.cache)
            for name, content in ((self.archive, archive), (f"{self.sums}.sig", signature), (self.sums, sums)):
                self._store(name, content)
        except OSError as error:
            raise ReleaseError(f"discovery_cache_dir: {self.cache}: {error.strerror}") from None

    def record(self) -> None:
        """Keep the checksum of the program; without the right to write, every run computes it."""
        name, text = f"{self.archive}.program", f"{self.program}\n".encode()
        with contextlib.suppress(OSError):
            if not os.path.exists(os.path.join(self.cache, name)) or self._cached(name) != text:
                self._store(name, text)

    def _verify(self, sums: bytes, signature: bytes, archive: bytes) -> None:
        self._verify_sums(sums, signature)
        self._verify_archive(archive, sums)

    def _verify_sums(self, sums: bytes, signature: bytes) -> None:
        try:
            verify(sums, signature, self.key, self.fingerprint)
        except SignatureError as error:
            raise ReleaseError(
                f"{self.sums} cannot be trusted: {error}. The pinned key is {self.fingerprint}; for a mirror that "
                "signs by itself set discovery_release_key and discovery_release_fingerprint"
            ) from None

    def _verify_archive(self, archive: bytes, sums: bytes) -> None:
        expected, actual = checksum_of(sums.decode(errors="replace"), self.archive), hashlib.sha256(archive).hexdigest()
        if not expected:
            raise ReleaseError(f"{self.sums} is signed, but names no {self.archive}")
        if actual != expected:
            raise ReleaseError(
                f"{self.archive} was changed or cut off: it has {len(archive)} bytes and the SHA-256 checksum {actual}, "
                f"while the signed {self.sums} has {expected}"
            )
        try:
            with zipfile.ZipFile(io.BytesIO(archive)) as opened, opened.open(self.name) as program:
                digest = hashlib.sha256()
                while block := program.read(1 << 20):
                    digest.update(block)
        except (KeyError, zipfile.BadZipFile) as error:
            raise ReleaseError(f"{self.archive} holds no program {self.name}: {error}") from None
        self.program = digest.hexdigest()

    def _cached(self, name: str) -> bytes:
        with open(os.path.join(self.cache, name), "rb") as opened:
            return opened.read()

    def _fetched(self, name: str) -> bytes:
        url = f"{self.url}/{name}"
        try:
            return self.get(url)
        except OSError as error:
            raise ReleaseError(
                f"{url} cannot be fetched: {error}. Set discovery_release_mirror, or "
                "fill the cache by playbooks/fetch_releases.yml on a machine that reaches it"
            ) from None

    def _store(self, name: str, content: bytes) -> None:
        """Write a file that is whole or not there, also with other runs beside this one."""
        path = os.path.join(self.cache, name)
        partial = f"{path}.{os.getpid()}.partial"
        try:
            with open(partial, "wb") as opened:
                opened.write(content)
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        finally:
            if os.path.exists(partial):
                os.unlink(partial)


def checksum_of(sums: str, archive: str) -> str:
    """The SHA-256 checksum that a SHA256SUMS file names for a file, in hexadecimal; '' when it names none."""
    found = re.search(rf"(?m)^([0-9a-f]{{64}})[ \t]+\*?{re.escape(archive)}\r?$", sums)
    return found.group(1) if found else ""


def get(url: str, timeout: int, sleep=time.sleep) -> bytes:
    """The content of a URL. A mirror that does not answer, or not with all of it, is asked again.

    :raises OSError: no answer, or an HTTP status of 400 or more
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with open_url(url, timeout=timeout, http_agent="fewnodes.discovery") as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS:
                raise OSError(f"{error.code} {error.reason}") from None
        except (OSError, UrlError, http.client.HTTPException) as error:
            if attempt == ATTEMPTS:
                raise OSError(str(getattr(error, "reason", None) or error)) from None
        sleep(attempt)
    raise AssertionError("not reached")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "arch": {"type": "str", "default": "amd64"},
            "mirror": {"type": "str", "required": True},
            "cache": {"type": "path", "required": True},
            "key": {"type": "path", "required": True, "no_log": False},
            "fingerprint": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 10},
        },
        supports_check_mode=True,
    )

    def from_mirror(url: str) -> bytes:
        return get(url, module.params["timeout"])

    try:
        fingerprint = fingerprint_of(module.params["fingerprint"])
        release = Release(module.params | {"fingerprint": fingerprint}, from_mirror)
        problem = release.problem_of_cache()
        if problem and not module.check_mode:
            release.fetch()
        if not module.check_mode:
            release.record()
    except SetupError as error:
        module.fail_json(msg=str(error))
    except ReleaseError as error:
        module.fail_json(msg=f"{error}. (Mirror: {release.url}. Cache {release.cache}: {problem}.)")
    verified = not (problem and module.check_mode)
    module.exit_json(changed=bool(problem), path=release.path, verified=verified, program=release.program)


if __name__ == "__main__":
    main()
