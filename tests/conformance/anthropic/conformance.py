"""Drives the simulated Claude of a local run with the official library, and says whether each answer is what the library expects.

`../run.mjs` starts it; by hand: `cargo run -- --empty --port 8080`, another address in STOREWARD_URL.
"""

import json
import os
from unittest import mock
from uuid import uuid4

import anthropic
from pydantic import BaseModel

BASE = os.environ.get("STOREWARD_URL", "http://127.0.0.1:8080") + "/anthropic"
KEY = "sk-ant-test-storeward-local"
# Whatever proxies the environment names: the simulation is on loopback.
HTTP = anthropic.DefaultHttpxClient(trust_env=False)

SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"type": "string", "enum": ["refund", "question", "shipping", "spam"]},
        "confidence": {"type": "number"},
        "language": {"type": "string"},
        "sentence": {"type": "string"},
    },
    "required": ["intent", "confidence", "language", "sentence"],
    "additionalProperties": False,
}
QUESTION = {
    "model": "claude-haiku-5-5",
    "max_tokens": 500,
    "messages": [{"role": "user", "content": "<mail>Where is my parcel?</mail>"}],
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
}

checks = 0


def check(what: str, actual: object, expected: object) -> None:
    global checks
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r} is not {expected!r}")
    checks += 1


def client(key: str = KEY, retries: int = 0, **options: object) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=BASE, api_key=key, max_retries=retries, http_client=HTTP, **options)


def prepare(**what: object) -> None:
    """Says what the next request meets."""
    HTTP.post(f"{BASE}/_local/next", headers={"x-api-key": KEY}, json=what).raise_for_status()


def refused(what: str, kind: type, asked: dict, asking: anthropic.Anthropic | None = None, **expected: object) -> None:
    """Holds the exception that the library raises against what it has to be."""
    try:
        (asking or client()).messages.create(**asked)
    except anthropic.APIStatusError as error:
        check(what, type(error), kind)
        check(f"{what}: request id", (error.request_id or "").startswith("req_"), True)
        for name, value in expected.items():
            check(f"{what}: {name}", getattr(error, name), value)
    else:
        raise AssertionError(f"{what}: was answered")


def answers() -> None:
    claude = client()
    message = claude.messages.create(**QUESTION)
    check("type and role", (message.type, message.role, message.model), ("message", "assistant", QUESTION["model"]))
    check("stop reason", (message.stop_reason, message.stop_sequence, message.stop_details), ("end_turn", None, None))
    answer = json.loads(message.content[0].text)
    check("the schema", sorted(answer), sorted(SCHEMA["required"]))
    check("the answer", (answer["intent"], answer["language"]), ("shipping", "en"))
    check("tokens", message.usage.input_tokens > 0 and message.usage.output_tokens > 0, True)
    check("request id", message._request_id.startswith("req_"), True)

    class Draft(BaseModel):
        reply: str
        commits: list[str]
        needs_human: bool

    parsed = claude.messages.parse(
        model="claude-sonnet-5-5",
        max_tokens=2000,
        messages=[{"role": "user", "content": "<order>number: 7\nstatus: shipped</order><mail>Where is 7?</mail>"}],
        output_format=Draft,
    )
    check("a class of the caller's", "shipped" in parsed.parsed_output.reply, True)
    check("a thought before the text", [block.type for block in parsed.content], ["thinking", "text"])

    policies = "Lamps are made in Maine. " * 200 + str(uuid4())
    marked = {"type": "text", "text": policies, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    first = claude.messages.create(**QUESTION, system=[marked]).usage
    check("written", first.cache_creation.ephemeral_1h_input_tokens, first.cache_creation_input_tokens)
    again = claude.messages.create(**QUESTION, system=[marked]).usage
    check("read", again.cache_read_input_tokens, first.cache_creation_input_tokens)
    check("not written again", again.cache_creation_input_tokens, 0)

    prepare(answer={"intent": "spam"})
    check("as scripted", claude.messages.create(**QUESTION).content[0].text, '{"intent":"spam"}')
    prepare(trouble="refuses")
    message = claude.messages.create(**QUESTION)
    check("a refusal", (message.stop_reason, message.stop_details.type), ("refusal", "refusal"))
    message = claude.messages.create(**{**QUESTION, "max_tokens": 2})
    check("a cut-off", (message.stop_reason, message.usage.output_tokens), ("max_tokens", 2))


def refusals() -> None:
    invalid = {"status_code": 400, "type": "invalid_request_error"}
    wrong = anthropic.AuthenticationError
    refused("another key", wrong, QUESTION, client("sk-ant-other"), type="authentication_error")
    refused("another model", anthropic.NotFoundError, {**QUESTION, "model": "claude-x"}, type="not_found_error")
    sampled = {**QUESTION, "extra_body": {"temperature": 1.0}}
    refused("a temperature", anthropic.BadRequestError, sampled, **invalid)
    versioned = {**QUESTION, "extra_headers": {"anthropic-version": "2023-06-01"}}
    refused("another version", anthropic.BadRequestError, versioned, **invalid)
    opened = {**SCHEMA, "additionalProperties": True}
    opened = {**QUESTION, "output_config": {"format": {"type": "json_schema", "schema": opened}}}
    refused("an open schema", anthropic.BadRequestError, opened, **invalid)
    prefilled = [*QUESTION["messages"], {"role": "assistant", "content": "{"}]
    refused("a prefill", anthropic.BadRequestError, {**QUESTION, "messages": prefilled}, **invalid)
    large = [{"role": "user", "content": "a" * (33 * 1024 * 1024)}]
    refused("too large", anthropic.ContentTooLargeError, {**QUESTION, "messages": large})

    for trouble, kind, expected in [
        ("overloaded", anthropic.OverloadedError, {"status_code": 529, "type": "overloaded_error"}),
        ("too_many", anthropic.RateLimitError, {"type": "rate_limit_error", "error_code": None}),
        ("spend_limit", anthropic.EnforcedSpendLimitReachedError, {"error_code": "enforced_spend_limit_reached"}),
        ("unpaid", anthropic.PaymentRequiredError, {"type": "billing_error"}),
        ("fails", anthropic.InternalServerError, {"status_code": 500, "type": "api_error"}),
        ("bad_request", anthropic.BadRequestError, invalid),
    ]:
        prepare(trouble=trouble)
        refused(trouble, kind, QUESTION, **expected)

    prepare(trouble="hangs")
    try:
        client(timeout=0.05).messages.create(**QUESTION)
    except anthropic.APITimeoutError:
        check("a time-out", True, True)
    else:
        raise AssertionError("a time-out: was answered")


def repetitions() -> None:
    """The library repeats what may pass, and waits as long as it is told; nobody sleeps."""
    for trouble, milliseconds in [("too_many", 7000), ("overloaded", 1250)]:
        prepare(trouble=trouble, retry_after_ms=milliseconds)
        with mock.patch("anthropic._base_client.time.sleep") as sleep:
            message = client(retries=2).messages.create(**QUESTION)
        check(f"{trouble}: repeated", message.stop_reason, "end_turn")
        check(f"{trouble}: waited", [call.args[0] for call in sleep.call_args_list], [milliseconds / 1000])
    prepare(trouble="bad_request")
    refused("not repeated", anthropic.BadRequestError, QUESTION, client(retries=2))


answers()
refusals()
repetitions()
print(f"anthropic {anthropic.__version__}: {checks} checks of the official library passed")
