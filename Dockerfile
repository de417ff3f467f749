# Two images from one build: redis (with the module) and sidecar.
#
#   docker build --target redis   -t redis-dashboard .
#   docker build --target sidecar -t redis-dashboard-sidecar .

# bookworm for both stages: the module must not want a newer libc than the server it is loaded into has.
FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package dashboard-module --package dashboard-sidecar \
    && install -D -t /out target/release/libdashboard.so target/release/dashboard-sidecar

# One user id in both images: the socket that they share belongs to it and is closed to others.
FROM debian:12-slim AS runtime
RUN groupadd --system --gid 10001 dashboard \
    && useradd --system --uid 10001 --gid dashboard --home-dir /data --shell /usr/sbin/nologin dashboard \
    && install -d -o dashboard -g dashboard /data /run/redis-dashboard

FROM runtime AS sidecar
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/dashboard-sidecar /usr/local/bin/
USER dashboard
VOLUME /run/redis-dashboard
EXPOSE 4001
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD curl --noproxy '*' -fsS http://127.0.0.1:4001/readyz
ENTRYPOINT ["dashboard-sidecar"]
CMD ["serve"]

FROM runtime AS redis
RUN apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/libdashboard.so /usr/lib/redis/modules/
# Not into /etc/redis, which Debian's package opens to its own user only.
COPY --chmod=644 redis.conf /etc/redis-dashboard/redis.conf
USER dashboard
VOLUME /data
EXPOSE 6380
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD redis-cli -p 6380 PING | grep -qx PONG
# protected-mode and bind concern the container's own network; who may come in is decided by the ports that
# are published.
CMD ["redis-server", "/etc/redis-dashboard/redis.conf", "--dir", "/data", \
     "--loadmodule", "/usr/lib/redis/modules/libdashboard.so", \
     "--bind", "0.0.0.0", "--protected-mode", "no"]
