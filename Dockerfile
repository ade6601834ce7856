# Two images from one source. The last stage is the GitHub Action: GitHub builds it when a workflow names this
# repository, and it runs as root with neither USER nor WORKDIR, as GitHub asks of containers for actions.
# `--target bot` is the Slack bot, which is not root.
#
# Everything lives in /opt/bluegreen, and the entrypoints give its full path: PATH, HOME and PYTHONPATH of a job reach the
# container, and the working folder is the user's repository. So Python also runs isolated (-I).

# By its digest, so that the same bytes are under it everywhere; `make lock` takes the newest of the tag.
ARG BASE_IMAGE=python:3.13-slim-bookworm@sha256:cbd229d7b9bd041012af758ce5ffd807a6518d76493ce9035d208f1db9ceff1e

# hadolint ignore=DL3006 -- the default above has tag and digest; another one is the user's choice
FROM ${BASE_IMAGE} AS source
COPY . /src
# The way in for the runner's clean-up, which starts a file and not a command line.
RUN printf '%s\n' '#!/opt/bluegreen/bin/python -Iu' 'import sys' 'from bluegreen.action import post' \
      'sys.exit(post())' > /src/bluegreen-post \
 && chmod 755 /src/bluegreen-post \
 && mkdir -p /out/action /out/bot \
 && cp -r /src/bluegreen /out/action \
 && for part in bluegreen bot; do if [ -d "/src/$part" ]; then cp -r "/src/$part" /out/bot; fi; done

# hadolint ignore=DL3006 -- as above
FROM ${BASE_IMAGE} AS action-packages
COPY requirements/action.txt /requirements.txt
# The packages of the source itself are found through a path file: nothing has to be built or downloaded for them.
RUN python -m venv --without-pip /opt/bluegreen \
 && python -m pip --python /opt/bluegreen/bin/python install --no-cache-dir --disable-pip-version-check \
      --root-user-action=ignore --require-hashes --only-binary :all: --no-compile -r /requirements.txt \
 && echo /opt/bluegreen/src > "$(/opt/bluegreen/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/src.pth" \
 && /opt/bluegreen/bin/python -m compileall -q /opt/bluegreen/lib

# hadolint ignore=DL3006 -- as above
FROM ${BASE_IMAGE} AS bot-packages
COPY requirements/bot.txt /requirements.txt
RUN python -m venv --without-pip /opt/bluegreen \
 && python -m pip --python /opt/bluegreen/bin/python install --no-cache-dir --disable-pip-version-check \
      --root-user-action=ignore --require-hashes --only-binary :all: --no-compile -r /requirements.txt \
 && echo /opt/bluegreen/src > "$(/opt/bluegreen/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/src.pth" \
 && /opt/bluegreen/bin/python -m compileall -q /opt/bluegreen/lib

# hadolint ignore=DL3006 -- as above
FROM ${BASE_IMAGE} AS bot
LABEL org.opencontainers.image.title="bluegreen bot" \
      org.opencontainers.image.description="Slack bot for zero-downtime releases on EC2 Auto Scaling groups" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=bot-packages /opt/bluegreen /opt/bluegreen
COPY --from=source /out/bot /opt/bluegreen/src
RUN /opt/bluegreen/bin/python -m compileall -q /opt/bluegreen/src
USER 10001:10001
# For /healthz and /metrics, and in HTTP mode for Slack.
ENV PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["/opt/bluegreen/bin/python", "-Ic", \
  "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["/opt/bluegreen/bin/python", "-I", "-u", "-m", "bot"]

# hadolint ignore=DL3006 -- as above
FROM ${BASE_IMAGE} AS action
LABEL org.opencontainers.image.title="bluegreen" \
      org.opencontainers.image.description="Zero-downtime blue/green releases for EC2 Auto Scaling groups" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=action-packages /opt/bluegreen /opt/bluegreen
COPY --from=source /src/bluegreen-post /opt/bluegreen/bin/bluegreen-post
COPY --from=source /out/action /opt/bluegreen/src
RUN /opt/bluegreen/bin/python -m compileall -q /opt/bluegreen/src
ENTRYPOINT ["/opt/bluegreen/bin/python", "-I", "-u", "-m", "bluegreen.action"]
