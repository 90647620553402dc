"""The secrets of a site: one file each below one directory of the controller, written once, encrypted where a vault
password is configured. Hosts run in parallel processes, so each write is one atomic step and the first one wins."""

from __future__ import annotations

import base64
import errno
import os
import re
import secrets
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from ansible.constants import DEFAULT_LOCAL_TMP
from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib, get_file_vault_secret, is_encrypted

from .controller import present_controller_problems

GENERATORS: dict[str, Callable[[], str]] = {
    "key": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "uuid": lambda: str(uuid.uuid4()),
}
# Ansible's own, and that of its filter `vault`, for a controller whose vault_id_match asks for the id.
VAULT_IDS = ("default", "filter_default")
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_texts: dict[tuple, str] = {}  # decrypted contents, by directory entry and password file: one decryption a process


class SecretError(Exception):
    """A message for the user, with directory, name and what to do."""


def location(directory: str | None, inventory_dir: str | None) -> str:
    """The directory of the secrets: the one that is set, else `.secrets` beside the inventory."""
    if directory:
        return os.path.abspath(os.path.expanduser(directory))
    if inventory_dir:
        return f"{inventory_dir}/.secrets"
    raise SecretError(
        "discovery_secrets_dir is not set, and without an inventory file there is no default: set it to the directory of"
        " the site's secrets"
    )


def site_secrets(variables: Mapping, template: Callable, loader, directory: str | None = None, password_file: str | None = None):
    """The secrets of the site of a host: what a task gives, else its variables discovery_secrets_dir and the like.

    :param variables: those of the host, with templates that `template` resolves
    :raises SecretError: there is no directory, or the host could have chosen it or the secret by its facts
    """

    problems = present_controller_problems()
    if problems:
        raise SecretError("; ".join(problems))

    def variable(name: str):
        # Such a fact says that the host lies, or that another play has set it.
        if name in (variables.get("ansible_facts") or {}):
            raise SecretError(
                f"{variables.get('inventory_hostname', 'a host')} has the fact {name}, which is a variable of the controller:"
                " find out what returned it, and remove it from the fact cache"
            )
        return template(variables[name]) if name in variables else None

    directory = variable("discovery_secrets_dir") if directory is None else directory
    password_file = variable("discovery_vault_password_file") if password_file is None else password_file
    return Secrets(location(directory, variable("inventory_dir")), password_file or "", loader)


def check_name(name: str) -> str:
    """The name of a secret: a relative path without `..`."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or name.endswith("/"):
        raise SecretError(f"{name!r} is not the name of a secret: give a path below the directory, such as tokens/operations")
    return name


def check_host(names: Iterable[str], host: str) -> None:
    """Stop unless a host may have these secrets.

    :raises SecretError: one is not a token of this host
    """
    for name in names:
        if not re.fullmatch(rf"tokens/[a-z_]+-{re.escape(host)}", name):
            raise SecretError(
                f"{host} is not given the secret {name}: the secrets of a host are its tokens, such as tokens/registrator-{host}."
                " Correct the variable that names it (registrator_token_secret, registrator_clear_token_secret)"
            )


def new_texts(
    missing: Iterable[str], value: str | None = None, values: Mapping[str, str] | None = None, generate: str = ""
) -> dict[str, str]:
    """Content for each missing secret: its own in `values`, else `value`, else a generated one of its own.

    :raises SecretError: a name has no content, or an empty one
    """
    texts = {}
    for name in missing:
        text = (values or {}).get(name, value)
        if text is None and generate:
            text = GENERATORS[generate]()
        if not text:
            raise SecretError(f"secret {name} is missing and there is no value for it: give value, values or generate")
        texts[name] = str(text)
    return texts


class Secrets:
    """The secrets in one directory.

    :param directory: see `location`
    :param password_file: vault password file, or a program that prints the password, as Ansible takes it; '' for plain files
    :param loader: Ansible's data loader
    """

    def __init__(self, directory: str, password_file: str = "", loader=None):
        self.directory = Path(directory)
        self.password_file = password_file
        self._loader = loader
        self._vault: VaultLib | None = None

    def path(self, name: str) -> Path:
        return self.directory / check_name(name)

    def missing(self, names: Iterable[str]) -> list[str]:
        """Those of the names that have no file, each once."""
        return [name for name in dict.fromkeys(names) if not self.path(name).exists()]

    def read(self, name: str) -> str:
        """The content without white space at its end.

        :raises FileNotFoundError: there is no such file
        :raises SecretError: it is empty or cannot be decrypted
        """
        path = self.path(name)
        state = path.stat()
        key = (path, self.password_file, state.st_ino, state.st_mtime_ns, state.st_size)
        if key not in _texts:
            _texts[key] = self._decrypted(path)
        return _texts[key]

    def create(self, texts: Mapping[str, str]) -> list[str]:
        """Writes secrets that have no file yet; gives those that this call has written. Existing files stay as they are."""
        if not texts:
            return []
        contents = {name: self._encrypted(text) for name, text in texts.items()}  # a wrong password stops before any write
        self._directory(self.directory)
        self._write(self.directory / ".gitignore", b"*\n")
        for name in texts:
            for parent in reversed(PurePosixPath(check_name(name)).parents[:-1]):
                self._directory(self.directory / parent)
        return [name for name, content in contents.items() if self._write(self.path(name), content)]

    def replace(self, name: str) -> bool:
        """Puts `<name>.next` in the place of the secret; False when there is none, because it was done before."""
        try:
            os.rename(self.path(f"{name}.next"), self.path(name))
        except FileNotFoundError:
            return False
        return True

    def remove(self, name: str) -> bool:
        """Removes a secret; False when there is none."""
        try:
            self.path(name).unlink()
        except FileNotFoundError:
            return False
        return True

    def decrypted(self, path: Path) -> bytes:
        """The content of a file, decrypted where it is encrypted.

        :raises SecretError: there is no password, or not the one of the file
        """
        content = path.read_bytes()
        if not is_encrypted(content):
            return content
        if not self.password_file:
            raise SecretError(f"{path} is encrypted: set discovery_vault_password_file to the file with its vault password")
        try:
            return bytes(self._lib().decrypt(content))
        except AnsibleError as error:
            raise SecretError(
                f"{path} cannot be decrypted with the password of discovery_vault_password_file ({self.password_file}):"
                f" {error.message}"
            ) from None

    def plain(self) -> list[Path]:
        """Files of the directory that are to be encrypted and are not: every one but those of certificates, which are public."""
        if not self.password_file or not self.directory.is_dir():
            return []
        found = [path for path in self.directory.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return self.not_encrypted(path for path in sorted(found) if path.suffix != ".pem" or path.name == "key.pem")

    def not_encrypted(self, paths: Iterable[Path]) -> list[Path]:
        """Those of some files that are not encrypted, where they are to be."""
        return [path for path in paths if not _starts_encrypted(path)] if self.password_file else []

    def encrypt(self, path: Path) -> None:
        """Encrypts a file in one step, and overwrites what it held before."""
        content = path.read_bytes()
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(bytes(self._lib().encrypt(content)))
                file.flush()
                os.fsync(file.fileno())
            with path.open("r+b", buffering=0) as before:
                os.rename(temporary, path)
                before.write(bytes(len(content)))
                os.fsync(before.fileno())
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def check_password(self) -> None:
        """Stops, where the secrets are to be encrypted, unless there is a password to do it with."""
        if self.password_file:
            self._lib()

    def _decrypted(self, path: Path) -> str:
        text = self.decrypted(path).decode().rstrip()
        if not text:
            raise SecretError(f"{path} is empty: put it back from the backup of the secrets directory")
        return text

    def _encrypted(self, text: str) -> bytes:
        return bytes(self._lib().encrypt(text)) if self.password_file else text.encode()

    def _lib(self) -> VaultLib:
        """Ansible's vault with the password."""
        if self._vault is None:
            try:
                secret = get_file_vault_secret(self.password_file, loader=self._loader)
                secret.load()
            except AnsibleError as error:
                raise SecretError(
                    f"discovery_vault_password_file is {self.password_file}, which gives no password: {error.message}."
                    " Put the vault password into it, or set it to the file that has the password"
                ) from None
            self._vault = VaultLib([(vault_id, secret) for vault_id in VAULT_IDS])
        return self._vault

    @staticmethod
    def _directory(path: Path) -> None:
        """Only its owner may enter it."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_mode & 0o7777 != 0o700:
            path.chmod(0o700)

    @staticmethod
    def _write(path: Path, content: bytes) -> bool:
        """Writes a file in one step, mode 0600; False when there is one already, which stays."""
        if path.exists():
            return False
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # O_EXCL, mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return _link(temporary, path, content)
        finally:
            os.unlink(temporary)


def decrypted_file(secrets: Secrets, path: Path) -> Path:
    """A file with the decrypted content, for programs that read a path: in Ansible's directory for this run, which only its owner
    may enter and which ends with the run; the file itself when it is not encrypted.

    :raises SecretError: it cannot be decrypted
    """
    if not _starts_encrypted(path):
        return path
    content = secrets.decrypted(path)
    handle, name = tempfile.mkstemp(prefix="discovery-", dir=DEFAULT_LOCAL_TMP)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    return Path(name)


def _starts_encrypted(path: Path) -> bool:
    with path.open("rb") as file:
        return is_encrypted(file.read(100))


def _link(temporary: str, path: Path, content: bytes) -> bool:
    """Gives a complete file its name, unless the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _write_exclusively(path, content)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return True


def _write_exclusively(path: Path, content: bytes) -> bool:
    """For file systems without hard links."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return True
