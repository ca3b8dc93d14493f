"""The contracts of the demo stay compatible with what was released: fields may come, none may go or change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).with_name("buf")


def breaks(protos: Path) -> str:
    """What buf says against the baseline; empty: nothing."""
    argv = [BUF, "breaking", str(protos), "--against", str(ROOT / "protos" / "baseline.binpb")]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "protos", tmp_path / "protos"))


def test_the_contracts_as_they_are_break_nothing(copy: Path) -> None:
    assert breaks(copy) == ""
    path = copy / "demo" / "user" / "v1" / "user.proto"
    path.write_text(path.read_text().replace("  string phone = 4;", "  string phone = 4;\n  string nickname = 99;"))
    assert breaks(copy) == ""


@pytest.mark.parametrize(
    ("version", "old", "new", "told"),
    [
        (1, "string phone = 4;\n  bool", "string phone = 9;\n  bool", 'field "4" with name "phone" on message "User"'),
        (1, "optional string avatar = 8;", "", 'field "8" with name "avatar" on message "User"'),
        (1, "rpc DeleteUser(DeleteUserRequest) returns (google.protobuf.Empty);", "", 'RPC "DeleteUser"'),
        (1, "returns (stream User)", "returns (User)", 'RPC "ListUsers"'),
        (1, "int32 member_days", "int64 member_days", 'changed type from "int32" to "int64"'),
        (1, "package demo.user.v1;", "package demo.user.v9;", 'package changed from "demo.user.v1"'),
        (2, "string avatar = 5;", "bytes avatar = 5;", 'changed type from "string" to "bytes"'),
        (2, "rpc GetUserProfile(GetUserProfileRequest) returns (UserProfile);", "", 'RPC "GetUserProfile"'),
    ],
)
def test_what_would_break_a_client_is_found(copy: Path, version: int, old: str, new: str, told: str) -> None:
    path = copy / "demo" / "user" / f"v{version}" / "user.proto"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert told in breaks(copy)
