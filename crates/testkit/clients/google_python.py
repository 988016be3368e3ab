"""Google's Python SDK: a prompt, streams, a hang-up, a count, a tool loop that it drives itself, and no money."""

from google import genai
from google.genai import errors, types

from stories import BASE, EMPTY_KEY, ENDLESS, KEY, LONG, MODEL, NO_MONEY, TOOL_ANSWER, TOOL_SCRIPT
from stories import check, expect, expect_words, leave, main, weather

# A client that nobody holds any more is closed.
CLIENTS = []


def models(key=KEY, version=None):
    options = types.HttpOptions(base_url=BASE, api_version=version)
    CLIENTS.append(genai.Client(api_key=key, http_options=options))
    return CLIENTS[-1].models


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
    expect_words([chunk.text for chunk in chunks], 20)
    expect(chunks[-1].candidates[0].finish_reason, types.FinishReason.MAX_TOKENS)
    expect(chunks[-1].usage_metadata.candidates_token_count, 20)


@check
def google_python_long_stream():
    stream = models().generate_content_stream(model=MODEL, contents=LONG)
    expect_words([chunk.text for chunk in stream], 2000)


@check
def google_python_hang_up():
    leave(models().generate_content_stream(model=MODEL, contents=ENDLESS))
    expect(models().generate_content(model=MODEL, contents="say: still here").text, "still here")


@check
def google_python_count():
    counted = models().count_tokens(model=MODEL, contents="say: one two three")
    # 18 bytes of text, a quarter of them rounded up.
    expect(counted.total_tokens, 5)


@check
def google_python_tool_loop():
    config = types.GenerateContentConfig(tools=[weather])
    answer = models().generate_content(model=MODEL, contents=TOOL_SCRIPT, config=config)
    expect(answer.text, TOOL_ANSWER)


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


main()
