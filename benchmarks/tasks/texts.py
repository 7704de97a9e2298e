"""English and Chinese messages of the programs on this machine, from their gettext catalogues."""

from __future__ import annotations

import gettext
import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.machine import Missing
from benchmarks.tasks.splitting import in_test

CATALOGUES = Path("/usr/share/locale/zh_CN/LC_MESSAGES")
SIZES = range(2_000, 2_000_000)
TEST_SHARE = 0.3
FORMATS = re.compile(r"%[^%\s]*[a-zA-Z]|[%\\{}<>|_$\t\r]")


@dataclass(frozen=True)
class Message:
    """One message in both languages; `group` names the program it belongs to."""

    group: str
    english: str
    chinese: str


def clean(text: str) -> str:
    """Return a message on one line, or an empty text if it is a format."""
    return "" if FORMATS.search(text) else re.sub(r"\s+", " ", text).strip()


def messages(folder: Path = CATALOGUES) -> list[Message]:
    """Read all messages that are not formats, each English text once."""
    found: dict[str, Message] = {}
    for path in sorted(folder.glob("*.mo")):
        if path.stat().st_size not in SIZES:
            continue
        with path.open("rb") as stream:
            catalogue = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
        group = re.split(r"[-_.\d]", path.stem)[0]
        for key, translated in catalogue.items():
            english, chinese = clean(str(key)), clean(str(translated))
            if len(english) > 3 and chinese and english.isascii():
                found.setdefault(english, Message(group, english, chinese))
    if not found:
        raise Missing(
            f"no message catalogues in {folder}: apt-get install git gettext coreutils iso-codes, "
            "with translations (a path-exclude of dpkg may leave them out)"
        )
    return list(found.values())


def parts(min_words: int = 0) -> tuple[list[Message], list[Message]]:
    """Return messages of some words or more to learn from and, of other programs, to test on."""
    found = [message for message in messages() if len(message.english.split()) >= min_words]
    test = in_test([message.group for message in found], [""] * len(found), TEST_SHARE)
    return tuple(
        [message for message, is_in in zip(found, test, strict=True) if is_in == wanted]
        for wanted in (False, True)
    )
