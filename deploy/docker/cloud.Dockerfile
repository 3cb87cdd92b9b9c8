# The cloud service on a card. Not built by the project's CI, only linted.
#   docker build -f deploy/docker/cloud.Dockerfile -t emberlink-cloud .
#   docker run --rm -v emberlink-cloud:/var/lib/emberlink emberlink-cloud keys new gate --state /var/lib/emberlink
#   docker run --gpus all -p 5001:5001 -v emberlink-cloud:/var/lib/emberlink emberlink-cloud run --host 0.0.0.0 --state /var/lib/emberlink
# CUDA 13 and cuDNN 9, as the onnxruntime-gpu of deploy/locks/cloud.txt was built for.
FROM nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv libgl1 libglib2.0-0t64 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --create-home --home-dir /var/lib/emberlink --uid 10001 emberlink
WORKDIR /src
COPY deploy/locks/cloud.txt deploy/locks/cloud.txt
RUN python3 -m venv /opt/emberlink \
    && /opt/emberlink/bin/pip install --no-cache-dir --require-hashes -r deploy/locks/cloud.txt
COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY edge edge
COPY cloud cloud
COPY models models
RUN /opt/emberlink/bin/pip install --no-cache-dir --no-deps --no-build-isolation .
ENV PATH=/opt/emberlink/bin:$PATH PYTHONUNBUFFERED=1 EMBERLINK_CLOUD__MODEL__DEVICE=cuda
USER 10001
WORKDIR /var/lib/emberlink
VOLUME /var/lib/emberlink
EXPOSE 5001
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python3", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5001/readyz', timeout=4)"]
ENTRYPOINT ["emberlink-cloud"]
CMD ["run", "--state", "/var/lib/emberlink"]
