FROM python:3.12-slim AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

RUN python -m venv --without-pip /opt/lightning-zenml
COPY requirements/build.txt requirements/runtime.txt /build/requirements/
RUN pip install --require-hashes --only-binary :all: --requirement /build/requirements/build.txt \
 && pip --python /opt/lightning-zenml/bin/python install --no-compile --require-hashes --only-binary :all: \
      --requirement /build/requirements/runtime.txt

COPY . /build/
# Unchecked: the sources never change, so no start needs to look at their dates.
RUN pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /build/dist /build \
 && pip --python /opt/lightning-zenml/bin/python install --no-compile --no-deps --no-index /build/dist/*.whl \
 && python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/lightning-zenml


FROM python:3.12-slim

LABEL org.opencontainers.image.title="lightning-zenml-action" \
      org.opencontainers.image.description="Run ZenML pipelines on Lightning AI from GitHub" \
      org.opencontainers.image.source="https://github.com/org/lightning-zenml-action" \
      org.opencontainers.image.licenses="Apache-2.0"

# git tells which files belong to the repository; any version does, and Debian keeps only the newest.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/*

COPY --from=builder /opt/lightning-zenml /opt/lightning-zenml
COPY entrypoint.py /usr/local/bin/lightning-zenml-main

# The official base ships its standard library uncompiled; one import compiles what a start needs of it.
RUN ln -s lightning-zenml-main /usr/local/bin/lightning-zenml-post \
 && /opt/lightning-zenml/bin/python -I -c 'import lightning_zenml.action.__main__, git'

ENV ZENML_ANALYTICS_OPT_IN=false \
    LIGHTNING_DISABLE_VERSION_CHECK=1 \
    LIGHTNING_KEEPALIVE_FREQUENCY=1

ENTRYPOINT ["/usr/local/bin/lightning-zenml-main"]
