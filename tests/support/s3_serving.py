"""Run as a program: an S3 service on loopback that checks keys and signatures, until its standard input ends.

Its first line of output is JSON: the port the system chose, and a key that may do everything.
"""

import json
import sys

from moto import settings  # type: ignore[import-untyped, unused-ignore] # a test tool, untyped in some releases
from moto.iam.models import iam_backends  # type: ignore[import-untyped, unused-ignore] # the same
from moto.s3.models import s3_backends  # type: ignore[import-untyped, unused-ignore] # the same
from moto.server import ThreadedMotoServer  # type: ignore[import-untyped, unused-ignore] # the same

ACCOUNT = "123456789012"
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def serve(bucket: str) -> None:
    """Serve one bucket."""
    iam = iam_backends[ACCOUNT]["aws"]
    iam.create_user(region_name="us-east-1", user_name="node")
    iam.put_user_policy("node", "everything", json.dumps(EVERYTHING))
    key = iam.create_access_key("node")
    s3_backends[ACCOUNT]["aws"].create_bucket(bucket, "us-east-1")
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    print(json.dumps({"port": port, "key": key.access_key_id, "secret": key.secret_access_key}), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    serve(sys.argv[1])
