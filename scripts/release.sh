#!/bin/sh
# Builds what a release has, into dist/release: the wheels of the library and the operator, the chart, an SBOM (CycloneDX) of what each
# wheel brings along, checksums; and the image where Docker is at hand. The demo is not published. release.sh [IMAGE]
set -eu
cd "$(dirname "$0")/.."
image=${1:-localhost/meshwright:0.1}
out=dist/release
python=.venv/bin/python
rm -rf "$out"
mkdir -p "$out"

"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$out" . ./operator

# The SBOM describes an environment in which nothing but the wheel was installed, in the versions of constraints.txt.
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools/cyclonedx"
"$tools/cyclonedx/bin/python" -m pip install --quiet --disable-pip-version-check cyclonedx-bom
for each in meshwright meshwright_operator; do
    wheel=$(ls "$out/$each"-*.whl)
    extra=
    [ "$each" = meshwright ] && extra='[standard]'
    "$python" -m venv --without-pip "$tools/$each"
    "$python" -m pip --python "$tools/$each/bin/python" install --quiet --disable-pip-version-check \
        --constraint constraints.txt --find-links "$out" "$wheel$extra"
    "$tools/cyclonedx/bin/cyclonedx-py" environment --output-reproducible --output-file "${wheel%.whl}.cdx.json" "$tools/$each/bin/python"
done

if helm=$(command -v helm || command -v .tools/helm/helm); then
    "$helm" package helm/meshwright --destination "$out" >/dev/null
else
    echo "no chart: there is no helm on PATH nor in .tools (make tools)" >&2
fi
if command -v docker >/dev/null; then
    docker buildx build --sbom=true --output "type=oci,name=$image,dest=$out/image.tar" .
else
    echo "no image: there is no docker" >&2
fi
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
