"""gunicorn's application, which says on standard output what the server has understood: one line for each request."""

import json
import sys


def application(environ, start_response):
    body = 0
    while piece := environ["wsgi.input"].read(65536):
        body += len(piece)
    seen = {
        "id": environ.get("HTTP_X_REQUEST_ID", ""),
        "method": environ["REQUEST_METHOD"],
        "target": environ["RAW_URI"],
        "host": environ.get("HTTP_HOST", ""),
        "body": body,
    }
    sys.stdout.write(json.dumps(seen) + "\n")
    sys.stdout.flush()
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
