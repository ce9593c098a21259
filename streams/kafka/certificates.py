"""Until when the certificates are valid that a process uses with Kafka.

Clients read them once, when they are made: what counts is what the files held at the start.

Only the end is read, by hand: the module `ssl` tells it of authorities alone, and the package
cryptography, 17 MB, will refuse some that systems trust.
"""

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from streams import logs
from streams.kafka.clients import PEM_MARK
from streams.metrics import Metrics
from streams.settings import Settings

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----([\sA-Za-z0-9+/=]+)-----END CERTIFICATE-----")
# DER: the tag of an explicit version, and those of the two ways to write a time.
_VERSION: Final = 0xA0
_TIMES: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
# A length above this is written in so many more bytes.
_LONG: Final = 0x80

log = logs.get(__name__)


def show_certificates(settings: Settings, metrics: Metrics) -> None:
    """Show when this process's certificates for Kafka end; what can't be read is left out.

    A client's certificate ends with the first of its chain. Of authorities, which a file keeps
    beside their successors while they are exchanged, the last one counts.
    """
    if "SSL" not in settings.kafka_security_protocol:
        return
    given = {
        "client": (settings.kafka_ssl_certificate, min),
        "ca": (settings.kafka_ssl_ca, max),
    }
    for name, (value, of) in given.items():
        if value is None:
            continue
        try:
            expiry = of(expiries(value if PEM_MARK in value else Path(value).read_text("utf-8")))
        except (OSError, ValueError) as error:
            log.warning("A certificate's end isn't known", certificate=name, error=str(error))
        else:
            metrics.certificate_expiry.labels(name).set(expiry)


def expiries(pem: str) -> list[float]:
    """When each certificate of a PEM text ends, in seconds since 1970.

    Raises:
        ValueError: it has none, or one that can't be read.
    """
    found = [_not_after(base64.b64decode(body)) for body in _PEM.findall(pem)]
    if not found:
        raise ValueError("no certificate in it")
    return found


def _not_after(der: bytes) -> float:
    """The end in one certificate (RFC 5280): the second time of the field `validity`."""
    try:
        [(_, certificate)] = _parts(der)
        _, signed = next(_parts(certificate))
        fields = [content for tag, content in _parts(signed) if tag != _VERSION]
        _serial, _algorithm, _issuer, validity, *_ = fields
        _, (tag, time) = _parts(validity)
        return datetime.strptime(time.decode(), _TIMES[tag]).replace(tzinfo=UTC).timestamp()
    except (LookupError, StopIteration, ValueError) as error:
        raise ValueError("a certificate in it can't be read") from error


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each value in a sequence."""
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length > _LONG:
            more = length - _LONG
            length = int.from_bytes(der[at : at + more])
            at += more
        yield tag, der[at : at + length]
        at += length
