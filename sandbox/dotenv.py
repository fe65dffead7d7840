"""Writes ``.env`` for ``docker-compose.yaml``: fresh secrets, and connections to the vendors and the S3 server in it.

Run as a file by whatever Python 3 a machine has: it needs nothing but the standard library.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys

TEXT = """\
# Written by `make env`, for docker-compose.yaml. These are secrets: keep the file to yourself, and a copy of it safe.

# Login of the user admin at http://localhost:8080
ADMIN_PASSWORD={admin}

# What Airflow encrypts and signs with. Connections stored in its database are lost without the Fernet key.
AIRFLOW_FERNET_KEY={fernet}
AIRFLOW_JWT_SECRET={jwt}
AIRFLOW_SECRET_KEY={secret}

# Taken over when a service first starts; to change one later, change it in the service too.
POSTGRES_PASSWORD={postgres}
VALKEY_PASSWORD={valkey}
S3_ACCESS_KEY=archive
S3_SECRET_KEY={s3}

# Connections. Real ones need neither host nor endpoint_url, and none of the allow_... extras.
AIRFLOW_CONN_AWS_DEFAULT='{aws_default}'
AIRFLOW_CONN_KEYWORDSAI_DEFAULT='{keywordsai_default}'
AIRFLOW_CONN_LANGDOCK_DEFAULT='{langdock_default}'
#ARCHIVE_URL=s3://company-llm-usage/archive

# Tasks run beside the scheduler. For Celery workers, take both marks away.
#COMPOSE_PROFILES=workers
#AIRFLOW_EXECUTOR=CeleryExecutor

#AIRFLOW_PORT=8080
#AIRFLOW_PARALLELISM=8
#DAGS_FOLDER=./my-dags
"""


def render() -> str:
    """The text of a new ``.env``; no two are alike."""
    s3_secret = secrets.token_hex(20)
    endpoint = {"endpoint_url": "http://s3:8333", "region_name": "us-east-1"}
    style = {"config_kwargs": {"s3": {"addressing_style": "path"}}}
    aws = {"conn_type": "aws", "login": "archive", "password": s3_secret, "extra": {**endpoint, **style}}
    vendor = {"host": "http://vendors:8090", "password": "sk-acme"}
    extra = {"account": "acme", "allow_http": True}
    downloads = {"allow_insecure_download": True, "allow_private_download": True}
    return TEXT.format(
        admin=secrets.token_urlsafe(12),
        fernet=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        jwt=secrets.token_hex(32),
        secret=secrets.token_hex(32),
        postgres=secrets.token_hex(16),
        valkey=secrets.token_hex(16),
        s3=s3_secret,
        aws_default=json.dumps(aws),
        keywordsai_default=json.dumps({"conn_type": "keywordsai", **vendor, "extra": extra}),
        langdock_default=json.dumps({"conn_type": "langdock", **vendor, "extra": {**extra, **downloads}}),
    )


def main(path: str = ".env") -> None:
    """Write it, readable to its owner alone, unless there is one."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{path} is there already, and stays as it is.")
        return
    with os.fdopen(file, "w") as stream:
        stream.write(render())
    print(f"{path} written: the password of the user admin, and all other secrets, are in it.")


if __name__ == "__main__":
    main(*sys.argv[1:])
