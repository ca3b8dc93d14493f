"""Certificates of tests: an authority, a server and a client, made by openssl. The fixture `pki` is in conftest.py."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

NAME = "consul.example"
"""The one name that the server's certificate is good for."""
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here to make certificates with")


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certificate(folder: Path, name: str, *extensions: str) -> None:
    """NAME.pem and NAME.key, signed by folder/ca.pem."""
    request, key = folder / f"{name}.csr", folder / f"{name}.key"
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request), "-subj", f"/CN={name}")
    config = folder / f"{name}.ext"
    config.write_text("\n".join(["basicConstraints=CA:FALSE", *extensions]))
    signing = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key"), "-CAcreateserial", "-days", "2"]
    openssl("x509", "-req", "-in", str(request), *signing, "-extfile", str(config), "-out", str(folder / f"{name}.pem"))


def authority(folder: Path) -> None:
    """ca, server (for `NAME`) and client, each as .pem and .key."""
    subject = ["-subj", "/CN=test authority", "-days", "2", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    files = ["-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem")]
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, *subject)
    certificate(folder, "server", f"subjectAltName=DNS:{NAME}", "extendedKeyUsage=serverAuth")
    certificate(folder, "client", "extendedKeyUsage=clientAuth")
