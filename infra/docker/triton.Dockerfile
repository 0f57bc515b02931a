# NVIDIA's server with our model repository in it; tenants are data, read from /var/lib/aisle/releases.
FROM nvcr.io/nvidia/tritonserver:26.08-py3
RUN pip install --no-cache-dir \
        numpy==1.26.4 onnxruntime==1.32.0 msgspec==0.22.0 "tritonclient[grpc]==2.73.0" \
    && useradd --uid 10001 --create-home --home-dir /var/lib/aisle aisle
COPY ml/__init__.py ml/release.py ml/dataset.py ml/interactions.py /opt/aisle/ml/
COPY ml/serving /opt/aisle/ml/serving
ENV PYTHONPATH=/opt/aisle \
    PYTHONDONTWRITEBYTECODE=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1
WORKDIR /opt/aisle
USER 10001
EXPOSE 8001 8002
# No queue policy anywhere: on an idle server it makes some requests wait for half a second.
CMD ["tritonserver", "--model-repository=/opt/aisle/ml/serving/triton", "--model-control-mode=explicit", "--load-model=recommend", "--load-model=rank", "--load-model=similar", "--disable-auto-complete-config", "--allow-http=false", "--exit-timeout-secs=20"]
