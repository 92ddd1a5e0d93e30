# One image per process, each with that process's distribution and what it declares, nothing else:
#   docker build --build-arg SERVICE=registry .
# tests/deploy runs what is below from `AS installed` on, line by line; docs/deploy.md says what that leaves open.
ARG PYTHON=3.13.5-slim-bookworm

# Wheels of everything: other people's as the lock has them, hashes checked, and ours. The same for all images, so built once.
FROM python:${PYTHON} AS wheels
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

# An environment of one process. --no-index: the versions are the lock's, since no other wheel is to be found.
FROM python:${PYTHON} AS installed
ARG SERVICE
RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \
    python -m venv --without-pip /app \
    && pip --python /app/bin/python install --no-cache-dir --no-index --find-links /wheels "intertie-${SERVICE}"

FROM python:${PYTHON}
# Nothing in the image installs anything any more: neither pip nor what brings it back.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3*/site-packages/pip /usr/local/lib/python3*/site-packages/pip-* \
    /usr/local/lib/python3*/ensurepip
# Numbers, since an orchestrator that refuses root looks at these; the folders are those that volumes are mounted on.
RUN groupadd --gid 10001 intertie && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin intertie \
    && install -d -o 10001 -g 10001 -m 0700 /data && install -d -o 10001 -g 10001 /envoy
COPY --from=installed /app /app
COPY LICENSE /usr/share/doc/intertie/
ARG SERVICE
USER 10001:10001
VOLUME /data
WORKDIR /
ENV PATH=/app/bin:/usr/local/bin:/usr/bin:/bin INTERTIE_DATA_DIR=/data PROCESS=intertie_${SERVICE} \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["sh", "-c", "exec python -m intertie_chassis.probe \"$PROCESS\""]
# exec: the process itself gets the signals, so that stopping a container drains it. A verb may follow, as in `migrate`.
ENTRYPOINT ["sh", "-c", "exec python -m \"$PROCESS\" \"$@\"", "intertie"]
