"""Ollama's Python client: a prompt, a stream, vectors, a tool loop, and no money."""

import os
import sys

import ollama

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


def client(key=KEY):
    return ollama.Client(host=BASE, headers={"authorization": f"Bearer {key}"})


def user(text):
    return {"role": "user", "content": text}


def weather(city: str) -> str:
    """The weather of a city."""
    return f"Rain in {city}\nand wind"


@check
def ollama_python_prompt():
    answer = client().chat(model=MODEL, messages=[user("say: one two three")])
    expect(answer.message.content, "one two three")
    expect((answer.done_reason, answer.eval_count), ("stop", 3))
    # The key may stand in the address, as `almoner exec` puts it into OLLAMA_HOST.
    by_address = ollama.Client(host=f"{BASE}/k/{KEY}") if EMPTY_KEY else client()
    expect(by_address.generate(model=MODEL, prompt="say: one two three").response, "one two three")


@check
def ollama_python_stream():
    asked = [user("words: 30")]
    parts = list(client().chat(model=MODEL, messages=asked, options={"num_predict": 20}, stream=True))
    expect(len("".join(part.message.content for part in parts).split()), 20)
    expect((parts[-1].done_reason, parts[-1].eval_count), ("length", 20))


@check
def ollama_python_long_stream():
    parts = client().generate(model=MODEL, prompt="words: 2000", stream=True)
    expect(len("".join(part.response for part in parts).split()), 2000)


@check
def ollama_python_embed():
    expect(len(client().embed(model=MODEL, input=["one", "two"]).embeddings), 2)


@check
def ollama_python_tool_loop():
    messages = [user('Look it up.\ntool: weather {"city": "Oslo"}')]
    first = client().chat(model=MODEL, messages=messages, tools=[weather]).message
    call = first.tool_calls[0].function
    messages += [first, {"role": "tool", "tool_name": call.name, "content": weather(**call.arguments)}]
    last = client().chat(model=MODEL, messages=messages, tools=[weather])
    expect(last.message.content, "The tool answered: Rain in Oslo")


@check
def ollama_python_no_money():
    for stream in [False, True]:
        try:
            answer = client(EMPTY_KEY or KEY).chat(model=MODEL, messages=[user(NO_MONEY)], stream=stream)
            if stream:
                list(answer)
        except ollama.ResponseError as error:
            expect(error.status_code, 402)
            assert len(str(error)) > 20, f"the error says only {error}"
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
