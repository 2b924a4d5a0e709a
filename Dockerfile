# The hub as an image: the checkout, its locked dependencies, nothing to build.
FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /srv/wasmhub wasmhub && mkdir /data && chown wasmhub /data
WORKDIR /srv/wasmhub
COPY requirements.lock pyproject.toml README.md LICENSE ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY wasmhub wasmhub
COPY registry registry
COPY storage storage
COPY auth auth
COPY web web
COPY deploy deploy
COPY proxywasm proxywasm
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . && python -m compileall -q .
USER wasmhub
ENV WASMHUB_DATA=/data WASMHUB_LISTEN=0.0.0.0:8080 WASMHUB_LOG=json PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8080
ENTRYPOINT ["wasmhub"]
CMD ["serve"]
