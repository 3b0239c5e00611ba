"""Reads tickets with Python's zlib and hmac: one JSON {ticket, key} a line, one JSON answer a line."""

import base64
import hashlib
import hmac
import json
import sys
import zlib

ORDER = ("TLS.identifier", "TLS.sdkappid", "TLS.time", "TLS.expire", "TLS.userbuf")


def read(ticket: str, key: str) -> dict:
    """What the ticket says, whether its key signed it, and what is left over behind the zlib stream."""
    stream = zlib.decompressobj()
    text = stream.decompress(base64.b64decode(ticket.translate(str.maketrans("*-_", "+/=")), validate=True))
    text += stream.flush()
    fields = json.loads(text.decode("ascii"))
    signed = "".join(f"{name}:{fields[name]}\n" for name in ORDER if name in fields)
    mac = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    verified = hmac.compare_digest(base64.b64decode(fields["TLS.sig"], validate=True), mac)
    return {"fields": fields, "verified": verified, "whole": stream.eof and not stream.unused_data}


for line in sys.stdin:
    print(json.dumps(read(**json.loads(line))))
