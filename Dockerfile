# One image for every streamsync process; docker-compose.yml says which command each one runs.
FROM python:3.12-slim

RUN useradd --create-home --uid 10001 streamsync \
    && mkdir /data && chown streamsync /data
WORKDIR /app

# The same locked dependencies as `make`, in a layer of their own.
COPY requirements.lock pyproject.toml setup.py README.md ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock

COPY avro avro
COPY profiles profiles
COPY streamsync streamsync
COPY topology topology
COPY examples examples
# The compiler is there for the compiled codec only, and leaves with the layer.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && apt-get purge --yes --auto-remove gcc libc6-dev && rm -rf /var/lib/apt/lists/*

USER streamsync
VOLUME /data
ENV STREAMSYNC_DATA_DIR=/data
ENTRYPOINT ["streamsync"]
