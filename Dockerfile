# The service in a container. Everything is built from source in the first stage; the second holds
# Python, the service and its dependencies at the versions of requirements.lock.
#
#   docker build --tag cost-insights .
#   docker run --rm cost-insights --help
#
# compose.yaml runs it with PostgreSQL.

FROM docker.io/library/rust:1.95-slim-bookworm AS build

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY requirements.lock ./
RUN python3 -m venv /build \
    && /build/bin/pip install --no-cache-dir --constraint requirements.lock maturin

# The dependencies of the native module are compiled before its own code comes in, so that a change
# of the code does not compile them again.
COPY Cargo.toml Cargo.lock pyproject.toml LICENSE ./
COPY native/Cargo.toml native/Cargo.toml
RUN mkdir -p native/src native/benches \
    && touch native/src/lib.rs native/benches/ingest.rs \
    && cargo build --release --locked --lib --features python \
    && rm -r native/src target/release/deps/libcost_insights_native*

COPY native native
COPY proto proto
COPY service service
RUN /build/bin/maturin build --release --locked --out /wheels

# The folder of the second stage, where it is found under the same path.
RUN python3 -m venv --without-pip /opt/cost-insights \
    && /build/bin/pip --python /opt/cost-insights/bin/python install --no-cache-dir \
        --constraint requirements.lock "$(echo /wheels/*.whl)[otel]"


FROM docker.io/library/debian:bookworm-slim

RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /var/lib/cost-insights cost-insights \
    && install --directory --owner=cost-insights --group=cost-insights --mode=0700 /var/lib/cost-insights

COPY --from=build /opt/cost-insights /opt/cost-insights

# All that is written is in the volume, so that the root file system can be read-only.
ENV PATH=/opt/cost-insights/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    COST_INSIGHTS_DATABASE_URL=sqlite:////var/lib/cost-insights/cost-insights.db \
    COST_INSIGHTS_GRPC_ADDRESS=0.0.0.0:50051 \
    COST_INSIGHTS_HTTP_ADDRESS=0.0.0.0:8080 \
    COST_INSIGHTS_ADMIN_ADDRESS=0.0.0.0:9464

USER 10001:10001
VOLUME /var/lib/cost-insights
EXPOSE 50051 8080 9464
# Running calls are finished for COST_INSIGHTS_DRAIN_SECONDS, 30: stop the container later than that.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s \
    CMD ["cost-insights", "healthcheck"]
ENTRYPOINT ["cost-insights"]
CMD ["serve"]
