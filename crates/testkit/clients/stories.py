"""What the stories of the Python clients share: whom they ask, how a check is told, and the tool of the tool loop."""

import os
import sys

BASE = os.environ["ALMONER_BASE_URL"]
KEY = os.environ["ALMONER_KEY"]
EMPTY_KEY = os.environ.get("ALMONER_EMPTY_KEY")
MODEL = "rehearsal"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL_SCRIPT = 'Look it up.\ntool: weather {"city": "Oslo"}'
TOOL_ANSWER = "The tool answered: Rain in Oslo"
NO_MONEY = "say: never" if EMPTY_KEY else "fail: 402"
# An answer that is long, and one that nobody waits for.
LONG, ENDLESS = "words: 2000", "words: 20000"

CHECKS = []


def check(story):
    CHECKS.append(story)
    return story


def expect(seen, wanted):
    assert seen == wanted, f"{seen!r} instead of {wanted!r}"


def expect_words(pieces, wanted):
    expect(len("".join(piece or "" for piece in pieces).split()), wanted)


def leave(stream):
    """Takes the beginning of a stream, and hangs up."""
    for _, _ in zip(range(5), stream):
        pass
    stream.close()


def weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}\nand wind"


def user(text):
    return {"role": "user", "content": text}


def main():
    failed = False
    for story in CHECKS:
        try:
            story()
            print(f"ok {story.__name__}", flush=True)
        except Exception as error:
            failed = True
            print(f"FAILED {story.__name__}: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)
