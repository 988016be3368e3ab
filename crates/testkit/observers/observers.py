"""What a server tells of itself, read by those who defined the formats.

Traces are read by OpenTelemetry's own messages, and their names looked up in its own conventions; the page of metrics is
read by Prometheus's own parser. Each check says in a line that it held; the first that does not ends the run.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes
from prometheus_client.parser import text_string_to_metric_families

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONVENTIONS = ("gen_ai.", "server.", "error.", "http.")


def check(what, holds, seen=None):
    if not holds:
        sys.exit(f"FAILED {what}: {seen!r}")
    print(f"ok {what}", flush=True)


class Collector(BaseHTTPRequestHandler):
    """Keeps what is sent to it."""

    came = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.came.append((self.path, self.headers["content-type"], body))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        """Says nothing."""


def ask(url, body=None, **headers):
    """The status and the text of an answer."""
    data = json.dumps(body).encode() if body is not None else None
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def calls(at):
    """A call in every dialect that the rehearsal speaks, one that streams, one of a traced client and one that is refused."""
    said = [{"role": "user", "content": "hi"}]
    plain = {"model": "rehearsal", "max_tokens": 20, "messages": said}
    parent = f"00-{TRACE}-{PARENT}-01"
    yield ask(f"{at}/v1/messages", plain, traceparent=parent, x_almoner_session="s-1", x_almoner_agent="scout")
    yield ask(f"{at}/v1/messages", {**plain, "stream": True})
    yield ask(f"{at}/v1/chat/completions", plain)
    yield ask(f"{at}/v1/responses", {"model": "rehearsal", "max_output_tokens": 20, "input": "hi"})
    contents = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    yield ask(f"{at}/v1beta/models/rehearsal:generateContent", contents)
    yield ask(f"{at}/v1/messages", {**plain, "model": "no-such-model"})


def as_protobuf(body):
    """The message that a body is. Its ids are in hex, by OTLP's one exception from the JSON of protobuf, and nothing in
    it may be unknown."""
    request = json.loads(body)
    for resource in request["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in {"traceId", "spanId", "parentSpanId"} & span.keys():
                    span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(request, ExportTraceServiceRequest(), ignore_unknown_fields=False)


def conventional():
    """The names that the conventions have."""
    modules = [gen_ai_attributes, error_attributes, http_attributes, server_attributes]
    return {value for module in modules for name, value in vars(module).items() if name.isupper() and type(value) is str}


def value_of(value):
    return getattr(value, value.WhichOneof("value"))


def read_traces(came, statuses):
    check("traces_come_by_the_path_and_the_type_of_otlp", {one[:2] for one in came} == {("/v1/traces", "application/json")}, came)
    sent = [as_protobuf(body) for _, _, body in came]
    groups = [scope for request in sent for resource in request.resource_spans for scope in resource.scope_spans]
    spans = [span for scope in groups for span in scope.spans]
    check("traces_have_a_span_for_each_call", len(spans) == len(statuses), len(spans))
    check("traces_survive_the_way_through_protobuf", all(ExportTraceServiceRequest.FromString(one.SerializeToString()) == one for one in sent))
    resources = [{one.key: value_of(one.value) for one in resource.resource.attributes} for request in sent for resource in request.resource_spans]
    check("traces_name_their_service", all(one["service.name"] == "almoner" for one in resources), resources)
    known = conventional()
    for span in spans:
        attributes = {one.key: value_of(one.value) for one in span.attributes}
        strange = [name for name in attributes if name.startswith(CONVENTIONS) and name not in known]
        if strange or len(attributes) != len(span.attributes):
            check("traces_have_names_of_the_conventions", False, attributes)
        shape = (len(span.trace_id), len(span.span_id), span.kind, span.start_time_unix_nano <= span.end_time_unix_nano)
        if shape != (16, 8, Span.SPAN_KIND_CLIENT, True):
            check("traces_have_ids_and_times", False, shape)
    check("traces_have_names_of_the_conventions_ids_and_times", True)
    children = [span for span in spans if span.parent_span_id]
    of_client = children and (children[0].trace_id.hex(), children[0].parent_span_id.hex()) == (TRACE, PARENT)
    check("traces_join_the_trace_of_the_client", len(children) == 1 and of_client, children)
    facts = {one.key: value_of(one.value) for one in children[0].attributes}
    wanted = ("rehearsal", "rehearsal", "s-1", "scout", 200)
    names = ("request.model", "response.model", "conversation.id", "agent.name")
    told = tuple(facts.get(f"gen_ai.{name}") for name in names) + (facts.get("http.response.status_code"),)
    check("traces_tell_model_session_and_agent", told == wanted, facts)
    check("traces_tell_usage", facts["gen_ai.usage.input_tokens"] > 0 and facts["gen_ai.usage.output_tokens"] > 0, facts)
    failed = [span for span in spans if span.status.code == Status.STATUS_CODE_ERROR]
    check("traces_tell_the_call_that_was_refused", len(failed) == sum(status >= 400 for status in statuses), failed)


def read_metrics(page):
    families = {family.name: family for family in text_string_to_metric_families(page)}
    check("metrics_have_no_family_without_a_type", all(family.type != "unknown" for family in families.values()))
    check("metrics_have_help", all(family.documentation for family in families.values()))
    # The parser takes what it cannot read for a comment; so every line is looked for.
    lines = sum(1 for line in page.splitlines() if line and not line.startswith("#"))
    check("metrics_lose_no_line_at_the_parser", lines == sum(len(family.samples) for family in families.values()), lines)
    calls = sum(sample.value for sample in families["almoner_calls"].samples)
    check("metrics_count_the_calls", calls == 5, calls)
    for name in ("almoner_first_byte_seconds", "almoner_added_latency_seconds"):
        counts = [sample.value for sample in families[name].samples if sample.name.endswith("_count")]
        dialects = {sample.labels["dialect"] for sample in families[name].samples}
        check(f"metrics_tell_{name}", sum(counts) == 5 and len(dialects) == 4, families[name].samples)
    for name in ("almoner_overrun_usd", "almoner_unbounded"):
        check(f"metrics_{name}_is_0", families[name].samples[0].value == 0)


def refuses(read, *of):
    """Whether a reader stops at what is wrong."""
    try:
        read(*of)
    except (json_format.ParseError, ValueError):
        return True
    return False


def try_the_readers():
    """A reader that finds nothing wrong in anything would find nothing."""
    unknown = {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "00" * 16, "colour": "red"}]}]}]}
    check("the_reader_of_traces_sees_what_is_unknown", refuses(as_protobuf, json.dumps(unknown)))
    check("the_reader_of_metrics_sees_what_is_no_number", refuses(lambda: list(text_string_to_metric_families("a one\n"))))


def main(almoner):
    try_the_readers()
    collector = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=collector.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as home:
        otlp = f"http://127.0.0.1:{collector.server_port}"
        own = {"HOME": home, "ALMONER_STATE": f"{home}/state", "ALMONER_LISTEN": "127.0.0.1:0", "ALMONER_OTLP": otlp}
        env = {"PATH": os.environ["PATH"], **own}
        server = subprocess.Popen([almoner, "serve"], env=env, stdout=subprocess.PIPE, text=True)
        try:
            at = next(line.split(" listens on ")[1].strip() for line in server.stdout if " listens on " in line)
            threading.Thread(target=lambda: [None for _ in server.stdout], daemon=True).start()
            answers = list(calls(at))
            statuses = [status for status, _ in answers]
            check("calls_are_answered", statuses[:5] == [200] * 5 and statuses[5] >= 400, answers)
            with open(f"{home}/state/admin.token", encoding="utf-8") as token:
                status, page = ask(f"{at}/metrics", authorization=f"Bearer {token.read().strip()}")
            check("metrics_are_there", status == 200, page)
            read_metrics(page)
        finally:
            # What it has not sent yet it sends as it ends.
            server.send_signal(signal.SIGTERM)
            code = server.wait(30)
        check("the_server_ends_well", code == 0, code)
        read_traces(Collector.came, statuses)


main(sys.argv[1])
