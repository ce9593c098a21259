"""Keys are hashed, and bodies signed, as Inngest's SDKs do it."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.inngest.signing import CLOCK_WINDOW_S, Keys, SigningKey

HEX = "0123456789abcdef0123456789abcdef"
KEY = SigningKey(f"signkey-prod-{HEX}")
OTHER = SigningKey("signkey-prod-ff00")
NOW = 1_760_000_000


def test_a_body_is_signed_with_the_text_of_the_key() -> None:
    """Without its label, and with the time behind the body."""
    mac = hmac.new(HEX.encode(), b'{"a":1}%d' % NOW, hashlib.sha256).hexdigest()
    assert KEY.sign(b'{"a":1}', NOW) == f"t={NOW}&s={mac}"


@given(body=st.binary(max_size=50), ago=st.integers(-1_000, 1_000))
def test_a_signature_holds_for_its_body_and_some_minutes(body: bytes, ago: int) -> None:
    """And for no other body, time or key."""
    signature = KEY.sign(body, NOW)
    assert KEY.has_signed(body, signature, NOW + ago) is (abs(ago) <= CLOCK_WINDOW_S)
    assert not KEY.has_signed(body + b" ", signature, NOW)
    assert not KEY.has_signed(body, signature.replace(str(NOW), str(NOW + 1)), NOW)
    assert not OTHER.has_signed(body, signature, NOW)


@given(signature=st.text(max_size=100))
def test_any_text_may_stand_where_a_signature_should(signature: str) -> None:
    """It is refused."""
    assert not KEY.has_signed(b"", signature, NOW)


@pytest.mark.parametrize("label", ["", "signkey-prod-", "signkey-test-"])
def test_a_request_shows_the_hash_of_a_key(label: str) -> None:
    """TypeScript and Go with its label, Python without."""
    hashed = hashlib.sha256(bytes.fromhex(HEX)).hexdigest()
    assert Keys([OTHER, KEY]).accepts(f"Bearer {label}{hashed}")
    assert not Keys([OTHER]).accepts(f"Bearer {label}{hashed}")


@pytest.mark.parametrize("shown", ["", "Bearer undefined", "Bearer ", "Bearer é", f"Bearer {HEX}"])
def test_nothing_else_is_accepted(shown: str) -> None:
    """The key itself neither; in dev mode everything is."""
    assert not Keys([KEY]).accepts(shown)
    assert Keys([]).accepts(shown)


def test_the_first_key_signs_and_every_key_is_taken() -> None:
    """So that keys can be changed while apps run."""
    keys = Keys([OTHER, KEY])
    assert keys.sign(b"{}", NOW) == {"x-inngest-signature": OTHER.sign(b"{}", NOW)}
    assert keys.have_signed(b"{}", KEY.sign(b"{}", NOW), NOW)
    assert Keys([]).sign(b"{}", NOW) == {}


@pytest.mark.parametrize(
    "text", ["", "signkey-prod-", "signkey-prod-abc", "secret", "signkey-a-0g"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    """An SDK would raise on it, too."""
    with pytest.raises(ValueError, match="even number of hex digits"):
        SigningKey(text)
