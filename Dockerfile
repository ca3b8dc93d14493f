# syntax=docker/dockerfile:1
# One image for every component: `docker run meshwright meshwright.cli controlplane`, `... services.user`, `... meshwright_operator`.
# For two architectures: `docker buildx build --platform linux/amd64,linux/arm64 .`; nothing here names one.
ARG BASE_IMAGE=python:3.13-slim

# DL3006 wants a tag, which the argument has.
# hadolint ignore=DL3006
FROM ${BASE_IMAGE} AS build
WORKDIR /build
RUN python3 -m venv /opt/meshwright
# What we depend on changes seldom, our sources often: the dependencies are a layer of their own.
COPY pyproject.toml constraints.txt ./
COPY services/pyproject.toml services/
COPY operator/pyproject.toml operator/
COPY scripts/requirements.py scripts/demo_wheel.py scripts/
RUN python3 scripts/requirements.py . services operator >requirements.txt \
    && /opt/meshwright/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --constraint constraints.txt --requirement requirements.txt
COPY README.md ./
COPY src src
COPY services services
COPY operator operator
RUN /opt/meshwright/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation \
        . ./services ./operator \
    && /opt/meshwright/bin/python -m pip check \
    && /opt/meshwright/bin/python -m pip uninstall --yes --quiet hatchling pip \
    && /opt/meshwright/bin/python -c 'import meshwright_operator, services.user, meshwright.cli'

# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="meshwright" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/meshwright /opt/meshwright
ENV PATH=/opt/meshwright/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
WORKDIR /tmp
USER 10001:10001
ENTRYPOINT ["python", "-m"]
CMD ["meshwright.cli", "--help"]
