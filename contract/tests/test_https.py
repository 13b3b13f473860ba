"""A server behind TLS is judged like any other, once its certificate is trusted."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kit import CommandLine

from onejob_contract.verdict import Exit

pytest.importorskip("onejob_reference")


@dataclass(frozen=True, slots=True)
class Https:
    """A server with a certificate of its own."""

    url: str
    certificate: Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Https]:
    """The reference with fewer threads than a race has requests."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=onejob", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    (tmp_path / "uploads").mkdir()
    settings = {
        "ONEJOB_DATABASE": f"sqlite:///{tmp_path / 'jobs.sqlite3'}",
        "ONEJOB_UPLOAD_ROOT": str(tmp_path / "uploads"),
        "ONEJOB_RESULT_ROOT": str(tmp_path / "results"),
        "ONEJOB_BIND": "127.0.0.1:0",
        "ONEJOB_THREADS": "4",
        "ONEJOB_CERTIFICATE": str(certificate),
        "ONEJOB_PRIVATE_KEY": str(key),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "onejob_contract.cli", "serve"],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield Https(process.stdout.readline().split()[-1], certificate)
        process.terminate()


def test_an_unknown_certificate_is_told_with_the_way_to_trust_it(
    user: CommandLine, server: Https
) -> None:
    said = user.onejob("check", server.url)

    assert said.exit == Exit.NOT_JUDGED
    assert "set SSL_CERT_FILE to the file of the certificate" in said.err


def test_requests_race_though_each_handshake_needs_a_thread_of_the_server(
    user: CommandLine, server: Https
) -> None:
    said = user.run(
        *("onejob_contract.cli", "check", server.url, "--profile", "quick"),
        *("--select", "LOCK-RACE,LOCK-RACE-COMPLETION,PUBLISH-ACCEPTED"),
        environment={"SSL_CERT_FILE": str(server.certificate)},
    )

    assert said.exit == Exit.CONFORMANT, said.everything
