"""Pictures and sound inside messages, in base64: a span holds a reference to them, not their bytes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from pathlib import Path

from everyspan.record.tally import TALLY

LEAST_MEDIA = 512
"""Characters of base64 that are left where they are."""
_BASE64 = re.compile(rf"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{{{LEAST_MEDIA},}}={{0,2}}")


def may_hold_media(text: str) -> bool:
    """False when there is no base64 to take out of `text`."""
    # What stands beside base64 in every API's messages: only then is the text searched.
    return _has_a_long_word(text) and (
        "base64" in text
        or '"data":' in text
        or '"b64_json"' in text
        or '"bytes":' in text
        or '"file_data"' in text
        or "inline_data" in text
        or "inlineData" in text
    )


def _has_a_long_word(text: str) -> bool:
    """Whether `LEAST_MEDIA` characters stand together without a space, as base64 does and prose does not."""
    at, last = 0, len(text) - LEAST_MEDIA
    while at <= last:
        space = text.rfind(" ", at, at + LEAST_MEDIA)
        if space < 0:
            return True
        at = space + 1  # no long word has this space in it
    return False


class Media:
    """Replaces base64 by `everyspan:media:sha256:<hash>:<bytes>`.

    Args:
        keep_in: where the bytes are kept, in a file named by their hash; None keeps none.
        inline: leave everything as it is.
    """

    def __init__(self, *, keep_in: Path | None = None, inline: bool = False) -> None:
        self._keep_in = keep_in
        self.inline = inline

    def replaced(self, text: str) -> str:
        """`text` with references; the same object when nothing was replaced."""
        if self.inline or not may_hold_media(text):
            return text
        return _BASE64.sub(self._reference, text)

    def _reference(self, found: re.Match[str]) -> str:
        encoded = found[0]
        try:
            data = base64.b64decode(
                encoded + "=" * (-len(encoded) % 4), altchars=b"-_" if "-" in encoded else None
            )
        except (binascii.Error, ValueError):
            data = encoded.encode()
        digest = hashlib.sha256(data).hexdigest()
        if self._keep_in is not None:
            self._keep(self._keep_in / digest, data)
        return f"everyspan:media:sha256:{digest}:{len(data)}"

    def _keep(self, path: Path, data: bytes) -> None:
        if path.exists():
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}")
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            partial.rename(path)
        except OSError as error:
            TALLY.fault("keep a picture", error)
