# The web process, the drain, the CPU workers, beat and the command line: no training code in it.
FROM python:3.11.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/aisle
ENV PATH=/opt/aisle/bin:$PATH
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY backend backend
COPY connectors connectors
COPY ml ml
COPY storage storage
RUN pip install --no-cache-dir --constraint constraints.txt . tritonclient grpcio protobuf

FROM python:3.11.11-slim-bookworm
RUN useradd --uid 10001 --create-home --home-dir /var/lib/aisle aisle
COPY --from=build /opt/aisle /opt/aisle
ENV PATH=/opt/aisle/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    AISLE_STATE_DIR=/var/lib/aisle
WORKDIR /var/lib/aisle
USER 10001
EXPOSE 8000
CMD ["uvicorn", "--factory", "backend.app:create_app", "--host", "0.0.0.0", "--port", "8000"]
