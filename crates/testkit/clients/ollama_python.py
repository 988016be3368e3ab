"""Ollama's Python client: a prompt, streams, a hang-up, vectors, a tool loop, and no money."""

import ollama

from stories import BASE, EMPTY_KEY, ENDLESS, KEY, LONG, MODEL, NO_MONEY, TOOL_ANSWER, TOOL_SCRIPT
from stories import check, expect, expect_words, leave, main, user, weather


def client(key=KEY):
    return ollama.Client(host=BASE, headers={"authorization": f"Bearer {key}"})


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
    expect_words([part.message.content for part in parts], 20)
    expect((parts[-1].done_reason, parts[-1].eval_count), ("length", 20))


@check
def ollama_python_long_stream():
    parts = client().generate(model=MODEL, prompt=LONG, stream=True)
    expect_words([part.response for part in parts], 2000)


@check
def ollama_python_hang_up():
    leave(client().generate(model=MODEL, prompt=ENDLESS, stream=True))
    expect(client().generate(model=MODEL, prompt="say: still here").response, "still here")


@check
def ollama_python_embed():
    expect(len(client().embed(model=MODEL, input=["one", "two"]).embeddings), 2)


@check
def ollama_python_tool_loop():
    messages = [user(TOOL_SCRIPT)]
    first = client().chat(model=MODEL, messages=messages, tools=[weather]).message
    call = first.tool_calls[0].function
    messages += [first, {"role": "tool", "tool_name": call.name, "content": weather(**call.arguments)}]
    last = client().chat(model=MODEL, messages=messages, tools=[weather])
    expect(last.message.content, TOOL_ANSWER)


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


main()
