"""When the certificates end that a process uses with Kafka."""

import base64
import logging
import ssl
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streams.kafka.certificates import expiries, show_certificates
from streams.metrics import Metrics
from streams.settings import load

# Self-signed, for nobody; the years from 2050 on are written in another way.
OF_2028 = """\
-----BEGIN CERTIFICATE-----
MIIBgTCCASegAwIBAgIUSqiQv2GU4ziXRMAJf8KG1MHbYrMwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLY291bnRlcm1hbmQwHhcNMjYxMTI5MjI1MzQ2WhcNMjgwMTAz
MjI1MzQ2WjAWMRQwEgYDVQQDDAtjb3VudGVybWFuZDBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABGo9JxiNCYZw5ZSxhgWWEOfb7/In/rDxr9529c4HSDabjLm3Nq7l
HuDb3eRonYGyJiThwkHcmaCwGKs+9I5RB+GjUzBRMB0GA1UdDgQWBBTfRpl1BlZt
4ZLlA3sHo2OwZ2t4IDAfBgNVHSMEGDAWgBTfRpl1BlZt4ZLlA3sHo2OwZ2t4IDAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCID2MC5hjsLB9ys1mHhln
I+GWE22//25u9Gmh6kNlC76UAiEAs3zq9qiS9qZAH6FBk89YrJfiIhov8SdsKH5k
Lz7mHNQ=
-----END CERTIFICATE-----
"""
ENDS_2028 = ssl.cert_time_to_seconds("Jan  3 22:53:46 2028 GMT")
OF_2081 = """\
-----BEGIN CERTIFICATE-----
MIIBgzCCASmgAwIBAgIUI/DJl8Usz+ydIcePnnIakmxGgs8wCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLY291bnRlcm1hbmQwIBcNMjYxMTI5MjI1MzQ2WhgPMjA4MTA5
MDEyMjUzNDZaMBYxFDASBgNVBAMMC2NvdW50ZXJtYW5kMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAERZOKO32oH3iDCJhiVasY1N+RwnHQpL2+/KNIxoqpYkD8la/0
DpkdExSBYf6w07+ZtaJYwdSLfkvWm1qhEfz/+qNTMFEwHQYDVR0OBBYEFGvrsgwP
u5u5p3lWAXHrmNUtOElKMB8GA1UdIwQYMBaAFGvrsgwPu5u5p3lWAXHrmNUtOElK
MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAPXhwf11ia4mIevh
msHoShnYVNm3CTjIjrjjSdeC1tvmAiBPwigGfKH6jCT+u68+6FW0TQS+d8cnSNeD
i7i+DVG/Vg==
-----END CERTIFICATE-----
"""
ENDS_2081 = ssl.cert_time_to_seconds("Sep  1 22:53:46 2081 GMT")
CUT = ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(OF_2028)[:60])


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(clean_environment: None) -> None:
    """What the developer's shell sets must not change a test."""


def shown(**settings: str) -> dict[str, float]:
    """What the page shows, by certificate."""
    metrics = Metrics(CollectorRegistry())
    show_certificates(load(**settings), metrics)
    [family] = metrics.certificate_expiry.collect()
    return {sample.labels["certificate"]: sample.value for sample in family.samples}


def test_both_ways_to_write_a_time_are_read() -> None:
    """In their order, whatever stands between the certificates."""
    assert expiries(OF_2028) == [ENDS_2028]
    assert expiries(f"subject=/CN=x\n{OF_2081}\nsubject=/CN=y\n{OF_2028}") == [
        ENDS_2081,
        ENDS_2028,
    ]


def test_real_authorities_are_read_as_openssl_reads_them(tmp_path: Path) -> None:
    """All that this machine trusts."""
    context = ssl.create_default_context()
    theirs = [ssl.cert_time_to_seconds(str(one["notAfter"])) for one in context.get_ca_certs()]
    if not theirs:
        pytest.skip("no certificate authorities on this machine")
    pems = map(ssl.DER_cert_to_PEM_cert, context.get_ca_certs(binary_form=True))
    assert expiries("".join(pems)) == theirs


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----",
        CUT,
        ssl.DER_cert_to_PEM_cert(b"\x30"),
        ssl.DER_cert_to_PEM_cert(base64.b64decode("MAQwAhcA")),
    ],
)
def test_what_is_no_certificate_is_refused(pem: str) -> None:
    """With one kind of error."""
    with pytest.raises(ValueError, match=r"certificate|base64|padding|Incorrect"):
        expiries(pem)


def test_the_page_shows_the_end_of_what_is_used(tmp_path: Path) -> None:
    """A chain ends with its first; of authorities the last one keeps connections possible."""
    both = tmp_path / "both.pem"
    both.write_text(OF_2028 + OF_2081, encoding="utf-8")
    secured = {"kafka_security_protocol": "SSL", "kafka_ssl_key": "key.pem"}
    assert shown(**secured, kafka_ssl_certificate=str(both), kafka_ssl_ca=str(both)) == {
        "client": ENDS_2028,
        "ca": ENDS_2081,
    }
    assert shown(**secured, kafka_ssl_ca=OF_2028) == {"ca": ENDS_2028}
    assert shown() == {}


def test_what_cannot_be_read_is_left_to_the_client(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says better what is wrong, and a figure alone is no reason not to start."""
    with caplog.at_level(logging.WARNING, "streams"):
        secured = {"kafka_security_protocol": "SSL"}
        assert shown(**secured, kafka_ssl_ca=str(tmp_path / "gone.pem")) == {}
        assert shown(**secured, kafka_ssl_ca=CUT) == {}
    assert len(caplog.records) == 2
