# One image per process, each with that process's distribution and what it declares, nothing else:
#   docker build --build-arg SERVICE=registry .
ARG PYTHON=3.13

# Wheels of everything: other people's as the lock has them, hashes checked, and ours. The same for all images, so built once.
FROM python:${PYTHON}-slim AS wheels
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY requirements.lock ./
RUN pip wheel --no-cache-dir --require-hashes --wheel-dir /wheels --requirement requirements.lock \
    && pip install --no-index --find-links /wheels hatchling
COPY protos protos
COPY chassis chassis
COPY mapping mapping
COPY services services
COPY gateway gateway
COPY cli cli
RUN pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels \
    ./protos ./chassis ./mapping ./services/registry ./services/ingest ./services/mapper ./services/audit ./gateway ./cli

FROM python:${PYTHON}-slim
ARG SERVICE
# --no-index: the versions are the lock's, since no other wheel is to be found.
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-index --find-links /wheels "intertie-${SERVICE}"
RUN useradd --create-home intertie && install -d -o intertie -m 0700 /data
COPY LICENSE /usr/share/doc/intertie/
USER intertie
VOLUME /data
ENV INTERTIE_DATA_DIR=/data PROCESS=intertie_${SERVICE} PYTHONUNBUFFERED=1
# exec: the process itself gets the signals, so that stopping a container drains it. A verb may follow, as in `migrate`.
ENTRYPOINT ["sh", "-c", "exec python -m \"$PROCESS\" \"$@\"", "intertie"]
