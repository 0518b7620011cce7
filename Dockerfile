# Two images: `mlflow`, the tracking server alone, and `twinvec`, the API and everything the command does.
# Python 3.11, for which there is a wheel of DGL.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --create-home --uid 1000 twinvec
WORKDIR /app
COPY requirements.txt .

FROM base AS mlflow
RUN pip install --constraint requirements.txt "mlflow[auth]" "psycopg[binary]" \
    && install --directory --owner twinvec /var/lib/mlflow
USER twinvec
EXPOSE 5000
CMD ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--artifacts-destination", "/var/lib/mlflow", "--app-name", "basic-auth"]

FROM base AS twinvec
# DGL needs the OpenMP runtime, which the slim image leaves out.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN install --directory --owner twinvec /var/lib/twinvec
COPY pyproject.toml README.md ./
COPY platform platform
COPY registry registry
COPY migrations migrations
COPY feature_repo feature_repo
COPY pipelines pipelines
# What the application needs, at the versions that are tested, without the tools of the tests.
RUN pip install --constraint requirements.txt --editable .
USER twinvec
ENV TWINVEC_HOME=/var/lib/twinvec
EXPOSE 8000
CMD ["twinvec", "serve", "--host", "0.0.0.0", "--port", "8000"]
