"""Signing keys, and the signatures of calls and answers.

A server signs the canonical form of a body (RFC 8785), an app the bytes of its answer. As the SDKs
do it, and the specification of Inngest's SDKs says (`docs/SDK_SPEC.md` of inngest/inngest, 4.1).
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final

_PREFIX: Final = re.compile(r"signkey-\w+-")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+")
_SIGNATURE: Final = re.compile(r"t=(?P<at>[0-9]{1,12})&s=(?P<mac>[0-9a-fA-F]{64})")
_BEARER: Final = "Bearer "
# How far the clocks of an app and of this process may differ.
CLOCK_WINDOW_S: Final = 300


class SigningKey:
    """A key that an app and Countermand share."""

    def __init__(self, text: str) -> None:
        """A key such as `signkey-prod-0123abcd`: what stands before its hex digits is a label.

        Raises:
            ValueError: It has no hex digits, or an odd number of them.
        """
        secret = _PREFIX.sub("", text, count=1)
        if _HEX.fullmatch(secret) is None:
            raise ValueError(
                "a signing key is signkey-, a name, - and an even number of hex digits, "
                "such as signkey-prod-0123456789abcdef"
            )
        self._secret = secret.encode()
        self._hashed = hashlib.sha256(bytes.fromhex(secret)).hexdigest()

    def sign(self, body: bytes, now_s: int) -> str:
        """The header `x-inngest-signature` of a body, which must be canonical in a call."""
        return f"t={now_s}&s={self._mac(body, str(now_s))}"

    def has_signed(self, body: bytes, signature: str, now_s: int) -> bool:
        """Whether a signature is of this key and body, and of about now."""
        found = _SIGNATURE.fullmatch(signature)
        if found is None or abs(int(found["at"]) - now_s) > CLOCK_WINDOW_S:
            return False
        return hmac.compare_digest(self._mac(body, found["at"]), found["mac"].lower())

    def is_hashed_as(self, hashed: str) -> bool:
        """Whether this is the hash that an SDK shows; some leave the label before it out."""
        return hmac.compare_digest(self._hashed, _PREFIX.sub("", hashed, count=1).lower())

    def _mac(self, body: bytes, at: str) -> str:
        return hmac.new(self._secret, body + at.encode(), hashlib.sha256).hexdigest()


class Keys:
    """The signing key and, while keys are changed, a second one; none in dev mode."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        """The first signs, all are accepted."""
        self._keys = keys

    @property
    def is_dev(self) -> bool:
        """Whether nothing is signed, nor checked."""
        return not self._keys

    def sign(self, body: bytes, now_s: int) -> dict[str, str]:
        """The headers that a call needs for its signature."""
        return {"x-inngest-signature": self._keys[0].sign(body, now_s)} if self._keys else {}

    def accepts(self, authorization: str) -> bool:
        """Whether a request's header `Authorization` shows one of the keys."""
        hashed = authorization.removeprefix(_BEARER).strip()
        # A digest is of ASCII; other text could not be compared.
        return self.is_dev or (
            hashed.isascii() and any(key.is_hashed_as(hashed) for key in self._keys)
        )

    def have_signed(self, body: bytes, signature: str, now_s: int) -> bool:
        """Whether a signature of one of the keys is right."""
        return self.is_dev or any(key.has_signed(body, signature, now_s) for key in self._keys)
