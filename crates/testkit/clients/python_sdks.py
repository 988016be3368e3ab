"""The Python SDKs of Anthropic and OpenAI: a prompt, streams, a hang-up, a tool loop, and no money."""

import json

import anthropic
import openai

from stories import BASE, EMPTY_KEY, ENDLESS, KEY, LONG, MODEL, NO_MONEY, SCHEMA, TOOL_ANSWER, TOOL_SCRIPT
from stories import check, expect, expect_words, leave, main, user, weather


def claude(key=KEY, **more):
    return anthropic.Anthropic(base_url=BASE, api_key=key, **more)


def gpt(key=KEY, **more):
    return openai.OpenAI(base_url=f"{BASE}/v1", api_key=key, **more)


@check
def python_anthropic_prompt():
    message = claude().messages.create(model=MODEL, max_tokens=50, messages=[user("say: one two three")])
    expect(message.content[0].text, "one two three")
    expect(message.stop_reason, "end_turn")
    expect(message.usage.output_tokens, 3)
    expect(message.usage.cache_read_input_tokens, 0)


@check
def python_anthropic_stream():
    with claude().messages.stream(model=MODEL, max_tokens=20, messages=[user("words: 30")]) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    expect(len(text.split()), 20)
    expect(message.stop_reason, "max_tokens")
    expect(message.usage.output_tokens, 20)


@check
def python_anthropic_long_stream():
    with claude().messages.stream(model=MODEL, max_tokens=4000, messages=[user(LONG)]) as stream:
        expect_words(stream.text_stream, 2000)


@check
def python_anthropic_hang_up():
    leave(claude().messages.create(model=MODEL, max_tokens=30000, messages=[user(ENDLESS)], stream=True))
    message = claude().messages.create(model=MODEL, max_tokens=50, messages=[user("say: still here")])
    expect(message.content[0].text, "still here")


@check
def python_anthropic_count():
    counted = claude().messages.count_tokens(model=MODEL, messages=[user("say: one two three")])
    # 18 bytes of text, a quarter of them rounded up.
    expect(counted.input_tokens, 5)


@check
def python_anthropic_tool_loop():
    tools = [{"name": "weather", "description": "The weather of a city", "input_schema": SCHEMA}]
    messages = [user(TOOL_SCRIPT)]
    first = claude().messages.create(model=MODEL, max_tokens=100, messages=messages, tools=tools)
    expect(first.stop_reason, "tool_use")
    call = next(block for block in first.content if block.type == "tool_use")
    expect(call.input, {"city": "Oslo"})
    messages.append({"role": "assistant", "content": first.content})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": weather(**call.input)}
    messages.append({"role": "user", "content": [result]})
    with claude().messages.stream(model=MODEL, max_tokens=100, messages=messages, tools=tools) as stream:
        last = stream.get_final_message()
    expect(last.stop_reason, "end_turn")
    expect(last.content[0].text, TOOL_ANSWER)


@check
def python_openai_prompt():
    completion = gpt().chat.completions.create(model=MODEL, max_tokens=50, messages=[user("say: one two three")])
    expect(completion.choices[0].message.content, "one two three")
    expect(completion.choices[0].finish_reason, "stop")
    expect(completion.usage.completion_tokens, 3)


@check
def python_openai_stream():
    chunks = list(
        gpt().chat.completions.create(
            model=MODEL,
            max_completion_tokens=20,
            messages=[user("words: 30")],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    expect(len(text.split()), 20)
    expect([choice.finish_reason for chunk in chunks for choice in chunk.choices][-1], "length")
    expect(chunks[-1].usage.completion_tokens, 20)


@check
def python_openai_long_stream():
    chunks = gpt().chat.completions.create(model=MODEL, messages=[user(LONG)], stream=True)
    expect_words([choice.delta.content for chunk in chunks for choice in chunk.choices], 2000)


@check
def python_openai_hang_up():
    leave(gpt().chat.completions.create(model=MODEL, messages=[user(ENDLESS)], stream=True))
    completion = gpt().chat.completions.create(model=MODEL, messages=[user("say: still here")])
    expect(completion.choices[0].message.content, "still here")


@check
def python_openai_stream_without_usage():
    chunks = list(gpt().chat.completions.create(model=MODEL, messages=[user("say: one")], stream=True))
    # Nobody asked for usage, so nobody may see that a gateway did.
    expect([chunk.usage for chunk in chunks if chunk.usage], [])
    expect([chunk for chunk in chunks if not chunk.choices], [])


@check
def python_openai_tool_loop():
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    messages = [user(TOOL_SCRIPT)]
    first = gpt().chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0]
    expect(first.finish_reason, "tool_calls")
    call = first.message.tool_calls[0]
    messages.append(first.message)
    answer = weather(**json.loads(call.function.arguments))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": answer})
    last = gpt().chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0]
    expect(last.message.content, TOOL_ANSWER)


@check
def python_responses_prompt():
    response = gpt().responses.create(model=MODEL, max_output_tokens=50, input="say: one two three")
    expect(response.output_text, "one two three")
    expect(response.status, "completed")
    expect((response.usage.input_tokens, response.usage.output_tokens), (5, 3))


@check
def python_responses_stream():
    with gpt().responses.stream(model=MODEL, max_output_tokens=20, input="words: 30") as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    with gpt().responses.create(model=MODEL, max_output_tokens=20, input="words: 30", stream=True) as events:
        last = list(events)[-1]
    expect(len(text.split()), 20)
    expect((last.type, last.response.incomplete_details.reason), ("response.incomplete", "max_output_tokens"))
    expect(last.response.usage.output_tokens, 20)


@check
def python_responses_long_stream():
    events = gpt().responses.create(model=MODEL, input=LONG, stream=True)
    expect_words([event.delta for event in events if event.type == "response.output_text.delta"], 2000)


@check
def python_responses_hang_up():
    leave(gpt().responses.create(model=MODEL, input=ENDLESS, stream=True))
    expect(gpt().responses.create(model=MODEL, input="say: still here").output_text, "still here")


@check
def python_responses_count():
    expect(gpt().responses.input_tokens.count(model=MODEL, input="say: one two three").input_tokens, 5)


@check
def python_responses_tool_loop():
    tools = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
    conversation = [user(TOOL_SCRIPT)]
    first = gpt().responses.create(model=MODEL, input=conversation, tools=tools)
    call = first.output[0]
    expect((call.type, json.loads(call.arguments)), ("function_call", {"city": "Oslo"}))
    conversation += first.output
    said = weather(**json.loads(call.arguments))
    conversation.append({"type": "function_call_output", "call_id": call.call_id, "output": said})
    last = gpt().responses.create(model=MODEL, input=conversation, tools=tools)
    expect(last.output_text, TOOL_ANSWER)


@check
def python_model_lists():
    # The list is made by Almoner; the rehearsal alone has none.
    if EMPTY_KEY:
        expect(MODEL in [model.id for model in gpt().models.list()], True)
        expect(gpt().models.retrieve(MODEL).id, MODEL)
        expect(MODEL in [model.id for model in claude().models.list(limit=5)], True)
        expect(claude().models.retrieve(MODEL).type, "model")


@check
def python_embeddings():
    answer = gpt().embeddings.create(model=MODEL, input=["one two", "three"])
    expect((len(answer.data), answer.usage.prompt_tokens), (2, 3))


@check
def python_completions():
    answer = gpt().completions.create(model=MODEL, prompt="say: one two three", max_tokens=2)
    expect((answer.choices[0].text, answer.choices[0].finish_reason), ("one two", "length"))
    chunks = list(gpt().completions.create(model=MODEL, prompt="say: one two", stream=True))
    expect("".join(chunk.choices[0].text for chunk in chunks), "one two")
    expect([chunk for chunk in chunks if chunk.usage], [])


def counting(sdk):
    """A client of the SDK's own kind that counts what it really sends."""
    sent = []
    return sent, sdk.DefaultHttpxClient(event_hooks={"request": [lambda request: sent.append(request.url.path)]})


def expect_refusal(sent, refusal, call, status=402):
    try:
        call()
    except refusal as error:
        expect(error.status_code, status)
        assert len(str(error)) > 20, f"the error says only {error}"
        expect(len(sent), 1)
        return
    raise AssertionError("the call went through without money")


@check
def python_anthropic_no_money():
    sent, http = counting(anthropic)
    client = claude(key=EMPTY_KEY or KEY, http_client=http)
    ask = lambda: client.messages.create(model=MODEL, max_tokens=50, messages=[user(NO_MONEY)])
    expect_refusal(sent, anthropic.APIStatusError, ask)


@check
def python_openai_no_money():
    sent, http = counting(openai)
    client = gpt(key=EMPTY_KEY or KEY, http_client=http)
    ask = lambda: client.chat.completions.create(model=MODEL, messages=[user(NO_MONEY)])
    expect_refusal(sent, openai.APIStatusError, ask)


@check
def python_responses_no_money():
    sent, http = counting(openai)
    client = gpt(key=EMPTY_KEY or KEY, http_client=http)
    # The rehearsal alone can say 402 only; a budget says what ends Codex.
    expect_refusal(
        sent,
        openai.APIStatusError,
        lambda: client.responses.create(model=MODEL, input=NO_MONEY),
        status=429 if EMPTY_KEY else 402,
    )


main()
