"""Access control: tokens, and pages of other sites."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from neuralsim.cli import main
from neuralsim.serve.access import Role, Tokens, is_own_host, is_own_page
from neuralsim.serve.options import ServeOptions


def test_a_token_is_created_once_and_private(tmp_path: Path):
    file = tmp_path / "config" / "serve.token"
    first = Tokens.load_or_create(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Tokens.load_or_create(file).drive == first.drive  # pages find their way back after a restart
    assert Tokens.load_or_create(tmp_path / "other").drive != first.drive
    assert len(first.drive) >= 32


def test_tokens_permit_driving_watching_or_nothing():
    tokens = Tokens("a-secret-of-some-length")
    assert tokens.role(tokens.drive) is Role.DRIVE
    assert tokens.role(tokens.watch) is Role.WATCH
    assert tokens.drive not in tokens.watch
    for wrong in ("", tokens.drive[:-1], tokens.drive + "x", tokens.watch[:-1], "w-", "\ud800"):
        assert tokens.role(wrong) is None


@pytest.mark.parametrize("text", [b"short", b"two words of sixteen", b"a#b%c&d" * 4, b"\xff" * 40, b""])
def test_a_file_without_a_token_is_reported_in_one_line(tmp_path: Path, text: bytes):
    file = tmp_path / "token"
    file.write_bytes(text)
    file.chmod(0o600)
    with pytest.raises(ValueError, match="a token has 16"):
        Tokens.load_or_create(file)


def test_a_token_that_others_may_read_is_refused(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("a-secret-of-some-length", encoding="ascii")
    file.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        Tokens.load_or_create(file)


@pytest.mark.parametrize(
    ("host", "origin", "local", "tls", "own"),
    [
        ("127.0.0.1:8700", "http://127.0.0.1:8700", True, False, True),
        ("localhost:9000", "http://localhost:9000", True, False, True),  # ssh -L 9000:localhost:8700
        ("[::1]:8700", "http://[::1]:8700", True, False, True),
        ("127.0.0.1:8700", "http://evil.example", True, False, False),  # a foreign page
        ("127.0.0.1:8700", "null", True, False, False),  # a file, a sandboxed frame
        ("127.0.0.1:8700", None, True, False, False),  # no browser, no page of ours
        ("127.0.0.1:8700", "http://localhost:8700", True, False, False),
        ("127.0.0.1:8700", "http://127.0.0.1:3000", True, False, False),  # another server of this machine
        ("evil.example:8700", "http://evil.example:8700", True, False, False),  # DNS rebinding
        ("127.0.0.1.evil.example", "http://127.0.0.1.evil.example", True, False, False),
        ("[", "http://[", True, False, False),
        (None, "http://127.0.0.1:8700", True, False, False),
        ("sim.example:8700", "https://sim.example:8700", False, True, True),
        ("sim.example:8700", "http://sim.example:8700", False, True, False),
        ("sim.example:8700", "https://evil.example", False, True, False),
    ],
)
def test_only_pages_of_this_server_may_connect(host: str, origin: str, local: bool, tls: bool, own: bool):
    assert is_own_page(host, origin, tls=tls, local=local) is own


def test_hosts_of_a_loopback_server_are_names_of_this_machine():
    assert is_own_host("localhost", local=True)
    assert not is_own_host("evil.example", local=True)
    assert not is_own_host("", local=False)


def test_other_machines_need_a_certificate():
    with pytest.raises(ValueError, match="--cert and --key"):
        ServeOptions(host="0.0.0.0").check()
    with pytest.raises(ValueError, match="go together"):
        ServeOptions(cert=Path("a.pem")).check()
    ServeOptions(host="0.0.0.0", cert=Path("a.pem"), key=Path("b.pem")).check()
    for host in ("127.0.0.1", "localhost", "::1", "127.1.2.3"):
        assert ServeOptions(host=host).is_local
        ServeOptions(host=host).check()
    assert not ServeOptions(host="my-machine").is_local


@pytest.mark.parametrize("package", ["aiohttp", "aiortc"])
def test_a_missing_package_is_reported_in_one_line(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for name in [name for name in sys.modules if name.startswith("neuralsim.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["serve"]) == 1
    assert capsys.readouterr().err == f'neuralsim: {package} is missing: pip install "neuralsim[serve]"\n'


def test_options_of_headless_drives_are_refused(capsys: pytest.CaptureFixture[str]):
    assert main(["serve", "--headless"]) == 2
    assert main(["serve", "--host", "0.0.0.0"]) == 2
    assert "--cert and --key" in capsys.readouterr().err
