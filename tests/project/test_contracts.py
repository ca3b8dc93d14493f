"""The contracts of the demo stay compatible with what was released: fields may come, none may go or change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).with_name("buf")


def breaks(protos: Path) -> str:
    """What buf says against the baseline; empty: nothing."""
    argv = [BUF, "breaking", str(protos), "--against", str(ROOT / "protos" / "baseline.binpb")]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def test_a_field_that_changes_its_number_or_goes_is_found(tmp_path: Path) -> None:
    assert breaks(ROOT / "protos") == ""
    copy = Path(shutil.copytree(ROOT / "protos", tmp_path / "protos"))
    path = copy / "demo" / "user" / "v1" / "user.proto"
    text = path.read_text()
    path.write_text(text.replace("string phone = 4;\n  bool", "string phone = 9;\n  bool"))
    assert 'Previously present field "4" with name "phone" on message "User"' in breaks(copy)
    path.write_text(text.replace("rpc DeleteUser(DeleteUserRequest) returns (google.protobuf.Empty);", ""))
    assert 'Previously present RPC "DeleteUser"' in breaks(copy)
