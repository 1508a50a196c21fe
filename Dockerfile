# For a machine with an NVIDIA GPU: NeuralSim with the PyTorch and TensorRT runtimes, next to a CARLA 0.9.16 server.
# Neither built nor run by its authors: no GPU, no container engine and no CARLA server were available. It follows
# docs/guide/runtimes.md step by step. Needs driver 580 or newer and NVIDIA's container toolkit; the CUDA libraries come with
# the Python packages.
#
#   docker build -t neuralsim .
#   docker run -d --rm --gpus all --network host -e NVIDIA_DRIVER_CAPABILITIES=all carlasim/carla:0.9.16 \
#       bash CarlaUE4.sh -RenderOffScreen -nosound                                                   # it needs Vulkan
#   docker run --rm --gpus all -v neuralsim-cache:/cache neuralsim                                   # doctor
#   docker run --rm --gpus all -v neuralsim-cache:/cache neuralsim model build-engine --size 1024x512
#   docker run --rm --gpus all --network host -v neuralsim-cache:/cache -v "$PWD":/out neuralsim drive \
#       --carla 127.0.0.1:2000 --headless --autopilot --frames 300 --size 1024x512 --record /out/drive.mp4
#   docker run --rm --gpus all --entrypoint python neuralsim -m benchmarks.gpu                  # measure
#
# For the window leave out --headless and add: -e DISPLAY -v /tmp/.X11-unix:/tmp/.X11-unix
FROM ubuntu:24.04

# gcc and Python's headers are for torch.compile
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates gcc libc6-dev libgomp1 python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

RUN python3 -m venv /opt/neuralsim
ENV PATH=/opt/neuralsim/bin:$PATH \
    NEURALSIM_CACHE=/cache \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PIP_NO_CACHE_DIR=1

WORKDIR /src
COPY requirements.txt ./
COPY requirements requirements
# the largest layer first, since it changes least often
RUN pip install --require-hashes --no-deps -r requirements.txt -r requirements/train.txt -r requirements/tensorrt.txt \
    && pip install -r requirements/torch.txt
COPY pyproject.toml README.md LICENSE ./
COPY LICENSES LICENSES
COPY benchmarks benchmarks
COPY bridge bridge
COPY neuralsim neuralsim
COPY scenarios scenarios
RUN pip install --no-deps --editable .

VOLUME /cache
ENTRYPOINT ["neuralsim"]
CMD ["doctor"]
