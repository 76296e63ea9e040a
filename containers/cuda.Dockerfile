# echoes-rt on an NVIDIA GPU, x86-64 or an ARM server; not yet run on one.
#   docker build -f containers/cuda.Dockerfile -t echoes-rt:cuda .
#   docker run --rm --gpus all -v "$PWD:/media" echoes-rt:cuda generate dog.jpg dog.wav
# ONNX Runtime's wheel wants CUDA 13 and cuDNN 9, which this image has.
ARG CUDA=13.0.1
FROM nvidia/cuda:${CUDA}-cudnn-runtime-ubuntu24.04
RUN apt-get update && apt-get install -y --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml README.md LICENSE /source/
COPY runtime/echoes_rt /source/runtime/echoes_rt
COPY training/echoes_training /source/training/echoes_training
COPY export/echoes_export /source/export/echoes_export
RUN python3 -m venv /opt/echoes && /opt/echoes/bin/pip install --no-cache-dir "/source[gpu]"
WORKDIR /media
ENTRYPOINT ["/opt/echoes/bin/echoes-rt"]
CMD ["doctor"]
