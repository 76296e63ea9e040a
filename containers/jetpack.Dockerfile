# echoes-rt on a Jetson by the TensorRT of JetPack; not yet run on one. Build it on the board:
#   docker build -f containers/jetpack.Dockerfile -t echoes-rt:jetpack .
#   docker run --rm --runtime nvidia -v "$PWD:/media" --entrypoint /opt/echoes/bin/echoes-export \
#       echoes-rt:jetpack engine my-bundle --backend tensorrt     # minutes; once for each board
#   docker run --rm --runtime nvidia -v "$PWD:/media" echoes-rt:jetpack \
#       generate dog.jpg dog.wav --bundle my-bundle --device tensorrt
# The image must be of the board's JetPack: r36.4.0 is JetPack 6.1 and 6.2.
ARG BASE=nvcr.io/nvidia/l4t-jetpack:r36.4.0
FROM ${BASE}
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv python3-libnvinfer \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE /source/
COPY runtime/echoes_rt /source/runtime/echoes_rt
COPY training/echoes_training /source/training/echoes_training
COPY export/echoes_export /source/export/echoes_export
# The environment sees the system's packages, among them tensorrt.
RUN python3 -m venv --system-site-packages /opt/echoes \
    && /opt/echoes/bin/pip install --no-cache-dir "/source[cpu,engine]"
WORKDIR /media
ENTRYPOINT ["/opt/echoes/bin/echoes-rt"]
CMD ["doctor"]
