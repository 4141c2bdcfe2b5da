# jitkit in a container, as a user without privileges.
#
#   docker build -t jitkit .                                                                 for CPUs
#   docker build -t jitkit:cuda --build-arg TORCH_INDEX=https://pypi.org/simple .            for NVIDIA GPUs
#   docker run --rm jitkit generate jit-mini
#   docker run --rm --gpus all -v "$PWD:/work" jitkit:cuda train jit-nano --data text.txt
#
# On PyPI, torch comes with CUDA, so both images have the same base. There is no C++ compiler: networks run without torch.compile.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY jitkit jitkit
COPY plugins plugins
COPY zoo zoo
RUN pip wheel --no-deps -w /wheels .

FROM python:${PYTHON}-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    --mount=type=bind,source=constraints.txt,target=/constraints.txt \
    pip install --no-cache-dir -c /constraints.txt --no-deps --index-url "$TORCH_INDEX" torch \
    && pip install --no-cache-dir -c /constraints.txt "$(echo /wheels/jitkit-*.whl)${EXTRAS:+[$EXTRAS]}" \
    && useradd --create-home --uid 1000 jitkit \
    && install -d -o jitkit /work
USER 1000
WORKDIR /work
ENTRYPOINT ["jitkit"]
CMD ["--help"]
