FROM python:3.12-slim AS builder

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore

RUN python -m venv --without-pip /opt/lightning-zenml
COPY requirements/ /build/requirements/
RUN pip --python /opt/lightning-zenml/bin/python install --require-hashes --only-binary :all: \
      -r /build/requirements/runtime.txt

# The build backend, with the hashes of the development lock: older pip refuses hashes in constraints.
RUN awk '/^[^ ]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
      /build/requirements/dev.txt >/build/backend.txt \
 && pip install --require-hashes -r /build/backend.txt
COPY . /build/
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /build/dist /build \
 && pip --python /opt/lightning-zenml/bin/python install --no-deps --no-index /build/dist/*.whl


FROM python:3.12-slim

LABEL org.opencontainers.image.title="lightning-zenml-action" \
      org.opencontainers.image.description="Run ZenML pipelines on Lightning AI from GitHub" \
      org.opencontainers.image.source="https://github.com/org/lightning-zenml-action" \
      org.opencontainers.image.licenses="Apache-2.0"

# git tells which files belong to the repository.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/*

COPY --from=builder /opt/lightning-zenml /opt/lightning-zenml

# Isolated (-I): neither a module of the workspace, which is the working directory, nor PYTHONPATH of the job may shadow ours.
# exec: Python is process 1, so that the runner's signals reach it.
RUN for entrypoint in main post; do \
      command=/usr/local/bin/lightning-zenml-$entrypoint; \
      printf '#!/bin/sh\nexec /opt/lightning-zenml/bin/python -I -u -m lightning_zenml.action %s\n' $entrypoint >$command; \
      chmod 755 $command; \
    done

ENV PYTHONDONTWRITEBYTECODE=1 \
    ZENML_ANALYTICS_OPT_IN=false \
    LIGHTNING_DISABLE_VERSION_CHECK=1 \
    LIGHTNING_KEEPALIVE_FREQUENCY=1

ENTRYPOINT ["/usr/local/bin/lightning-zenml-main"]
