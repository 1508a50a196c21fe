"""CURVE keys of the links, stored as folders: for both ends, and for observers, who may only watch.

Addresses other than loopback and ``ipc://`` require keys: one pair created by ``generate_keys``, whose folder is copied
to both machines. Its holders may watch and drive; holders of a pair created by ``generate_observer`` may only watch.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import zmq

from bridge.link import LinkError

_OBSERVERS = "observers"  # subfolder with the public keys that may watch
_MAX_OBSERVERS = 256


@dataclass(frozen=True)
class Keys:
    """A CURVE key pair, z85 text of 40 characters each."""

    public: bytes
    secret: bytes
    server: bytes = b""  # in an observer's pair: the public key of the link
    observers: frozenset[bytes] = frozenset()  # in a link's pair: public keys that may watch

    @property
    def may_drive(self) -> bool:
        """Whether its holders may drive."""
        return not self.server


def generate_keys(folder: str | Path) -> Path:
    """Write a new CURVE pair as ``folder/public`` and ``folder/secret`` (mode 0600), for both ends of a link.

    Raises ``LinkError`` if the folder holds keys already or cannot be written.
    """
    return _write_pair(Path(folder), {})


def generate_observer(folder: str | Path, link: str | Path) -> Path:
    """Write to ``folder`` a pair that may watch the link whose keys are in ``link``, but not drive.

    Its public key is added to ``link``. Bridges that are started afterwards admit it until ``link/observers/NAME`` is
    removed. Raises ``LinkError``.
    """
    folder, pair = Path(folder), load_keys(link)
    if not pair.may_drive:
        raise LinkError(f"{link} is an observer's; use the keys of the link itself")
    _write_pair(folder, {"server": pair.public})
    entry = Path(link) / _OBSERVERS / load_keys(folder).public.hex()[:16]
    try:
        entry.parent.mkdir(mode=0o700, exist_ok=True)
        entry.write_bytes((folder / "public").read_bytes())
    except OSError as error:
        raise LinkError(f"cannot write {entry}: {error.strerror}") from None
    return folder


def _write_pair(folder: Path, others: dict[str, bytes]) -> Path:
    public, secret = zmq.curve_keypair()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, key in {"public": public, "secret": secret, **others}.items():
            with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(key + b"\n")
    except FileExistsError:
        what = "holds keys already" if folder.is_dir() else "is not a folder"
        raise LinkError(f"{folder} {what}; choose another folder") from None
    except OSError as error:
        raise LinkError(f"cannot write keys to {folder}: {error.strerror}") from None
    return folder


def load_keys(folder: str | Path) -> Keys:
    """Load the pair in ``folder``. Raises ``LinkError`` if it is missing or damaged."""
    folder, server, observers = Path(folder), b"", frozenset[bytes]()
    try:
        public, secret = ((folder / name).read_bytes().strip() for name in ("public", "secret"))
        is_valid = zmq.curve_public(secret) == public
        if (folder / "server").exists():
            server = (folder / "server").read_bytes().strip()
            is_valid = is_valid and len(server) == len(public)
        elif (folder / _OBSERVERS).is_dir():
            files = sorted((folder / _OBSERVERS).iterdir())[:_MAX_OBSERVERS]
            observers = frozenset(file.read_bytes().strip() for file in files)
    except OSError:
        raise LinkError(f"no keys in {folder}; create them with `neuralsim link keys new`") from None
    except (zmq.ZMQError, ValueError):
        is_valid = False
    if not is_valid:
        raise LinkError(f"the keys in {folder} are damaged; copy both files again")
    return Keys(public, secret, server, observers)
