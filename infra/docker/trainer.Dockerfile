# Training: the same code with its `ml` extra, on a GPU where the container is given one.
FROM python:3.11.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/aisle
ENV PATH=/opt/aisle/bin:$PATH
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY backend backend
COPY connectors connectors
COPY ml ml
COPY storage storage
# cpu, or the index of a CUDA build such as cu126
ARG TORCH_INDEX=cpu
RUN pip install --no-cache-dir --constraint constraints.txt \
    --extra-index-url "https://download.pytorch.org/whl/${TORCH_INDEX}" ".[ml]"

FROM python:3.11.11-slim-bookworm
RUN useradd --uid 10001 --create-home --home-dir /var/lib/aisle aisle
COPY --from=build /opt/aisle /opt/aisle
ENV PATH=/opt/aisle/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    AISLE_TRAINER_SCRATCH=/var/lib/aisle/scratch
WORKDIR /var/lib/aisle
USER 10001
CMD ["celery", "--app", "ml.worker", "worker", "--queues", "train", "--concurrency", "1", "--max-tasks-per-child", "1", "--loglevel", "INFO"]
