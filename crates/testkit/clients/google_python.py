"""Google's Python SDK: a prompt, a stream, a count, a tool loop that it drives itself, and no money."""

import os
import sys

from google import genai
from google.genai import errors, types

BASE = os.environ["ALMONER_BASE_URL"]
KEY = os.environ["ALMONER_KEY"]
EMPTY_KEY = os.environ.get("ALMONER_EMPTY_KEY")
MODEL = "rehearsal"
NO_MONEY = "say: never" if EMPTY_KEY else "fail: 402"

CHECKS = []


def check(story):
    CHECKS.append(story)
    return story


def expect(seen, wanted):
    assert seen == wanted, f"{seen!r} instead of {wanted!r}"


# A client that nobody holds any more is closed.
CLIENTS = []


def models(key=KEY, version=None):
    options = types.HttpOptions(base_url=BASE, api_version=version)
    CLIENTS.append(genai.Client(api_key=key, http_options=options))
    return CLIENTS[-1].models


def weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}\nand wind"


@check
def google_python_prompt():
    for version in ["v1beta", "v1", None]:
        answer = models(version=version).generate_content(model=MODEL, contents="say: one two three")
        expect(answer.text, "one two three")
        expect(answer.candidates[0].finish_reason, types.FinishReason.STOP)
        expect(answer.usage_metadata.candidates_token_count, 3)


@check
def google_python_stream():
    config = types.GenerateContentConfig(max_output_tokens=20)
    stream = models().generate_content_stream(model=MODEL, contents="words: 30", config=config)
    chunks = list(stream)
    expect(len("".join(chunk.text or "" for chunk in chunks).split()), 20)
    expect(chunks[-1].candidates[0].finish_reason, types.FinishReason.MAX_TOKENS)
    expect(chunks[-1].usage_metadata.candidates_token_count, 20)


@check
def google_python_long_stream():
    stream = models().generate_content_stream(model=MODEL, contents="words: 2000")
    expect(len("".join(chunk.text or "" for chunk in stream).split()), 2000)


@check
def google_python_count():
    counted = models().count_tokens(model=MODEL, contents="say: one two three")
    # 18 bytes of text, a quarter of them rounded up.
    expect(counted.total_tokens, 5)


@check
def google_python_tool_loop():
    config = types.GenerateContentConfig(tools=[weather])
    asked = 'Look it up.\ntool: weather {"city": "Oslo"}'
    answer = models().generate_content(model=MODEL, contents=asked, config=config)
    expect(answer.text, "The tool answered: Rain in Oslo")


@check
def google_python_no_money():
    for ask in [
        lambda of: of.generate_content(model=MODEL, contents=NO_MONEY),
        lambda of: list(of.generate_content_stream(model=MODEL, contents=NO_MONEY)),
    ]:
        try:
            ask(models(key=EMPTY_KEY or KEY))
        except errors.ClientError as error:
            expect(error.code, 402)
            assert len(error.message) > 20, f"the error says only {error}"
            continue
        raise AssertionError("the call went through without money")


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


main()
