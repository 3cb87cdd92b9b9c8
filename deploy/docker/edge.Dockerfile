# The edge service. Not built by the project's CI, only linted.
#   docker build -f deploy/docker/edge.Dockerfile -t emberlink-edge .
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
COPY deploy/locks/edge.txt deploy/locks/edge.txt
RUN python -m venv /opt/emberlink \
    && /opt/emberlink/bin/pip install --no-cache-dir --require-hashes -r deploy/locks/edge.txt
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY edge edge
COPY cloud cloud
COPY models models
RUN /opt/emberlink/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /var/lib/emberlink --uid 10001 emberlink
COPY --from=build /opt/emberlink /opt/emberlink
ENV PATH=/opt/emberlink/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
VOLUME /var/lib/emberlink
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/readyz', timeout=4)"]
ENTRYPOINT ["emberlink-edge"]
CMD ["run", "--config", "/etc/emberlink/edge.toml", "--state", "/var/lib/emberlink"]
