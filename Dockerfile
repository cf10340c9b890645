# The server's image. Start it with a configuration file (PORTCULLIS_CONFIG, or `serve --config FILE`) or with the
# environment of .env.example:
#   docker run --read-only --cap-drop ALL --security-opt no-new-privileges -v …:/etc/portcullis:ro -e PORTCULLIS_CONFIG=… IMAGE
# `node scripts/image.ts DIR` does the same steps into a folder where there is no builder; a test starts the server from there.
# Nothing is written below the root. An audit file needs a volume that user 65532 may write to; the stdout sink needs none.

ARG NODE_IMAGE=node:24-trixie-slim

# --- The program -------------------------------------------------------------------------------------------------------
FROM ${NODE_IMAGE} AS program
WORKDIR /build/portcullis
COPY package.json package-lock.json ./
# Without the dev dependencies (Node among them: the image has its own), without the optional ones, which only users' commands load
# (docs/dependencies.md), and without running any package's scripts.
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund
# Node reads no TypeScript below node_modules, and source maps only where it is asked to: a third of the bytes, which nothing can load.
RUN find node_modules -type f -name '*.map' -delete -o -type f -name '*.[cm]ts' -delete -o -type f -name '*.ts' -delete && find node_modules -type d -empty -delete
# What is inside, in CycloneDX, for scanners: /app/sbom.cdx.json. Of what was installed, since `npm sbom --omit=dev` leaves out every package that a
# dev dependency needs too (npm 11.19). Without its serial number and date: the same packages make the same list.
RUN npm pkg delete devDependencies optionalDependencies && npm sbom --sbom-format cyclonedx > sbom.cdx.json && sed -i '/"serialNumber":/d; /"timestamp":/d' sbom.cdx.json
COPY LICENSE ./
COPY src ./src
# Whatever the umask of the checkout was: every user may read, only root may write.
RUN chmod -R u=rwX,go=rX .

# --- The system --------------------------------------------------------------------------------------------------------
FROM ${NODE_IMAGE} AS system
# glibc's allocator keeps the most that each of its arenas ever needed at once; this one gives memory back (docs/decisions/0015).
RUN apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libjemalloc2
# Node and the libraries that it loads, and nothing else: an attacker in a running server finds no shell, no package manager and no set-uid program.
# A file for each package in status.d, and os-release, tell a scanner which packages of Debian's these libraries are.
RUN libraries="$(LD_PRELOAD=libjemalloc.so.2 ldd /usr/local/bin/node | grep -o '/[^ ]*')" && \
    mkdir -p /image/etc /image/var/lib/dpkg/status.d && \
    cp --parents --dereference /usr/local/bin/node /usr/local/LICENSE /etc/os-release /etc/debian_version $libraries /image && \
    for package in $(dpkg-query --search $(realpath $libraries) | cut -d: -f1 | sort -u); do \
      dpkg-query --status "$package" > "/image/var/lib/dpkg/status.d/$package" && \
      cp --parents --dereference "/usr/share/doc/$package/copyright" /image || exit 1; \
    done && \
    echo 'hosts: files dns' > /image/etc/nsswitch.conf && \
    echo 'portcullis:x:65532:65532::/app:/usr/sbin/nologin' > /image/etc/passwd && \
    echo 'portcullis:x:65532:' > /image/etc/group

# --- The image ---------------------------------------------------------------------------------------------------------
FROM scratch AS runtime

LABEL org.opencontainers.image.title="portcullis" \
      org.opencontainers.image.description="A proxy in front of Kubernetes: sign in with your own identity provider, act as yourself, be revoked instantly." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"

ENV PATH=/usr/local/bin
# By its name alone: the loader finds it on every architecture.
ENV LD_PRELOAD=libjemalloc.so.2
ENV NODE_ENV=production

COPY --from=system /image/ /
WORKDIR /app
# Owned by root and read by the user below: the server cannot rewrite itself.
COPY --from=program /build/portcullis/node_modules ./node_modules
COPY --from=program /build/portcullis/package.json /build/portcullis/LICENSE /build/portcullis/sbom.cdx.json ./
COPY --from=program /build/portcullis/src ./src

# Numeric, so that Kubernetes' `runAsNonRoot` can judge it without a passwd file.
USER 65532:65532

# api, web, ops
EXPOSE 6443 8443 9090

STOPSIGNAL SIGTERM

# Against the ops listener's default port; Kubernetes does not look at this, its probes are in the chart.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9090/readyz', { signal: AbortSignal.timeout(2500) }).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

ENTRYPOINT ["node", "src/main.ts"]
CMD ["serve"]
