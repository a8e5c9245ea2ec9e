"""Drives the simulated Google of a local run with the official libraries, and says whether each answer is what they expect.

`../run.mjs` starts it; by hand: `cargo run -- --empty --port 8080`, another address in STOREWARD_URL. Gmail's client is built
from the discovery document that comes with it, so every method, path and parameter is as Google names it.
"""

import base64
import email
import json
import os
from collections.abc import Callable
from email.message import EmailMessage
from urllib.parse import parse_qs, urlsplit

# The simulation is on loopback, without TLS.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"

import google_auth_httplib2
import httplib2
import requests
from google.auth import exceptions
from google.auth.transport.requests import Request
from google.oauth2 import id_token
from google_auth_oauthlib.flow import Flow
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError
from oauthlib.oauth2.rfc6749.errors import OAuth2Error

BASE = os.environ.get("STOREWARD_URL", "http://127.0.0.1:8080") + "/_google"
MAILBOX = "conformance@example.com"
TOPIC = "projects/storeward-local/topics/gmail-push"
SCOPE = "https://www.googleapis.com/auth/gmail.modify"
REDIRECT = "http://127.0.0.1:9/google/callback"
CLIENT = {
    "web": {
        "client_id": "test-storeward-local.apps.googleusercontent.com",
        "client_secret": "test-google-client-secret",
        "auth_uri": f"{BASE}/o/oauth2/v2/auth",
        "token_uri": f"{BASE}/token",
        "redirect_uris": [REDIRECT],
    }
}

# Whatever proxies the environment names: the simulation is on loopback.
http = requests.Session()
http.trust_env = False
checks = 0


def check(what: str, actual: object, expected: object) -> None:
    global checks
    checks += 1
    assert actual == expected, f"{what}: {actual!r} instead of {expected!r}"


def stage(action: str, **wish: object) -> dict:
    answer = http.post(f"{BASE}/staging/{action}", json=wish, timeout=10)
    answer.raise_for_status()
    return answer.json()


def flow() -> Flow:
    made = Flow.from_client_config(CLIENT, scopes=[SCOPE], redirect_uri=REDIRECT)
    made.oauth2session.trust_env = False
    return made


def consent(to: Flow) -> str:
    """Where the browser comes back to from the page of consent."""
    url, _ = to.authorization_url(access_type="offline", prompt="consent")
    check("PKCE is asked for", parse_qs(urlsplit(url).query)["code_challenge_method"], ["S256"])
    answer = http.get(url, allow_redirects=False, timeout=10)
    check("the page of consent agrees", answer.status_code, 302)
    return answer.headers["location"]


def refused(what: str, status: int, reason: str, call: Callable[[], object]) -> HttpError:
    try:
        call()
    except HttpError as error:
        details = error.error_details if isinstance(error.error_details, list) else []
        check(what, (error.status_code, [detail.get("reason") for detail in details]), (status, [reason]))
        return error
    raise AssertionError(f"{what}: was not refused")


def raises(what: str, kind: type[Exception], word: str, call: Callable[[], object]) -> None:
    try:
        call()
    except kind as error:
        check(what, word in str(error), True)
        return
    raise AssertionError(f"{what}: did not fail")


def written(subject: str, sender: str, to: str, message_id: str, behind: str | None = None) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = sender, to, subject, message_id
    if behind:
        mail["In-Reply-To"] = mail["References"] = behind
    mail.set_content("Wo ist mein Päckchen?\n")
    return mail


def raw(mail: EmailMessage) -> str:
    return base64.urlsafe_b64encode(mail.as_bytes()).decode()


# Consent, renewal, and what a code and a verifier are worth.
stage("mailbox", address=MAILBOX)
first = flow()
location = consent(first)
first.fetch_token(authorization_response=location)
credentials = first.credentials
check("the scope is granted", credentials.scopes, [SCOPE])
check("there is a refresh token", bool(credentials.refresh_token), True)
raises("a code counts once", OAuth2Error, "invalid_grant", lambda: first.fetch_token(authorization_response=location))
second = flow()
location = consent(second)
second.code_verifier = "another-verifier-than-the-one-whose-hash-was-sent"
raises("PKCE", OAuth2Error, "invalid_grant", lambda: second.fetch_token(authorization_response=location))
before = credentials.token
credentials.refresh(Request(http))
check("a renewal gives another token", credentials.token != before and credentials.valid, True)
check("and keeps the refresh token", bool(credentials.refresh_token), True)
stage("answer", deny=True)
check("a refusal comes back", parse_qs(urlsplit(consent(flow())).query)["error"], ["access_denied"])

# Gmail, by its own discovery document.
transport = google_auth_httplib2.AuthorizedHttp(credentials, http=httplib2.Http(proxy_info=None))
gmail = build(
    "gmail", "v1", http=transport, static_discovery=True, client_options={"api_endpoint": f"{BASE}/"}
)
users = gmail.users()
messages, threads, drafts = users.messages(), users.threads(), users.drafts()

profile = users.getProfile(userId="me").execute()
check("whose mailbox", profile["emailAddress"], MAILBOX)
check("by its address too", users.getProfile(userId=MAILBOX).execute()["historyId"], profile["historyId"])
watch = {"topicName": TOPIC, "labelIds": ["INBOX"], "labelFilterBehavior": "include"}
watched = users.watch(userId="me", body=watch).execute()
check("64-bit numbers are strings", (type(watched["historyId"]), type(watched["expiration"])), (str, str))

one = stage("deliver", mailbox=MAILBOX, raw=written("Paket", "a@example.com", MAILBOX, "<1@example.com>").as_string())
two = stage(
    "deliver",
    mailbox=MAILBOX,
    raw=written("Re: Paket", "a@example.com", MAILBOX, "<2@example.com>", "<1@example.com>").as_string(),
)
check("a thread by its headers", two["threadId"], one["threadId"])

request = users.history().list(
    userId="me", startHistoryId=profile["historyId"], historyTypes=["messageAdded"], labelId="INBOX", maxResults=1
)
seen = []
while request is not None:
    page = request.execute()
    seen += [added["message"]["id"] for record in page["history"] for added in record["messagesAdded"]]
    request = users.history().list_next(request, page)
check("history, page by page", seen, [one["id"], two["id"]])

listed = messages.list(userId="me", q="newer_than:1d in:inbox").execute()
check("a search, latest first", [message["id"] for message in listed["messages"]], [two["id"], one["id"]])
check("a search without result", "messages" in messages.list(userId="me", q="rfc822msgid:no@example.com").execute(), False)
found = messages.list(userId="me", q="rfc822msgid:1@example.com", includeSpamTrash=True).execute()
check("by Message-ID", found["messages"], [{"id": one["id"], "threadId": one["threadId"]}])

whole = messages.get(userId="me", id=one["id"], format="raw").execute()
parsed = email.message_from_bytes(base64.urlsafe_b64decode(whole["raw"]))
check("raw", parsed["Message-ID"], "<1@example.com>")
full = messages.get(userId="me", id=one["id"]).execute()
body = base64.urlsafe_b64decode(full["payload"]["body"]["data"]).decode()
check("full", (full["payload"]["mimeType"], body.strip()), ("text/plain", "Wo ist mein Päckchen?"))
head = messages.get(userId="me", id=one["id"], format="metadata", metadataHeaders=["Subject"]).execute()
check("metadata", head["payload"]["headers"], [{"name": "Subject", "value": "Paket"}])
least = messages.get(userId="me", id=one["id"], format="minimal").execute()
check("minimal", ("payload" in least, "raw" in least, sorted(least["labelIds"])), (False, False, ["INBOX", "UNREAD"]))
read = messages.modify(userId="me", id=one["id"], body={"removeLabelIds": ["UNREAD"]}).execute()
check("labels", read["labelIds"], ["INBOX"])

answer = written("Re: Paket", MAILBOX, "a@example.com", "<answer@example.com>", "<2@example.com>")
sent = messages.send(userId="me", body={"raw": raw(answer), "threadId": one["threadId"]}).execute()
check("sent into the thread", (sent["threadId"], sent["labelIds"]), (one["threadId"], ["SENT"]))
conversation = threads.get(userId="me", id=one["threadId"], format="minimal").execute()
check("the thread", [message["id"] for message in conversation["messages"]], [one["id"], two["id"], sent["id"]])
check("threads", [thread["id"] for thread in threads.list(userId="me").execute()["threads"]], [one["threadId"]])

draft = drafts.create(userId="me", body={"message": {"raw": raw(answer), "threadId": one["threadId"]}}).execute()
check("a draft", draft["message"]["labelIds"], ["DRAFT"])
other = drafts.update(userId="me", id=draft["id"], body={"message": {"raw": raw(answer)}}).execute()
check("an update keeps the draft", (other["id"], other["message"]["id"] != draft["message"]["id"]), (draft["id"], True))
check("drafts", [known["id"] for known in drafts.list(userId="me").execute()["drafts"]], [draft["id"]])
check("one draft", drafts.get(userId="me", id=draft["id"], format="raw").execute()["id"], draft["id"])
check("a draft sent", drafts.send(userId="me", body={"id": draft["id"]}).execute()["labelIds"], ["SENT"])
refused("a draft is sent once", 404, "notFound", drafts.send(userId="me", body={"id": draft["id"]}).execute)
draft = drafts.create(userId="me", body={"message": {"raw": raw(answer)}}).execute()
check("a draft deleted", drafts.delete(userId="me", id=draft["id"]).execute(), "")
check("labels of the system", users.labels().list(userId="me").execute()["labels"][0]["id"], "INBOX")
check("trash", "TRASH" in messages.trash(userId="me", id=two["id"]).execute()["labelIds"], True)
check("deleted", messages.delete(userId="me", id=two["id"]).execute(), "")

# Refusals, by the words that callers act on.
refused("a deleted message", 404, "notFound", messages.get(userId="me", id=two["id"]).execute)
refused("a mail to nobody", 400, "invalidArgument",
        messages.send(userId="me", body={"raw": raw(EmailMessage())}).execute)
refused("a thread that is not there", 404, "notFound",
        messages.send(userId="me", body={"raw": raw(answer), "threadId": "0"}).execute)
stage("forget-history", mailbox=MAILBOX)
old = users.history().list(userId="me", startHistoryId=profile["historyId"])
refused("a history too old", 404, "notFound", old.execute)
stage("watch-elsewhere", mailbox=MAILBOX)
error = refused("another client", 400, "failedPrecondition", users.watch(userId="me", body=watch).execute)
check("in Gmail's words", error.reason.startswith("Only one user push notification client"), True)
check("stopped", users.stop(userId="me").execute(), "")
users.watch(userId="me", body=watch).execute()
for kind, status, reason in [
    ("too-many-concurrent", 429, "rateLimitExceeded"),
    ("user-rate-limit", 403, "userRateLimitExceeded"),
    ("quota", 403, "rateLimitExceeded"),
    ("limit-until", 429, "rateLimitExceeded"),
    ("unavailable", 503, "backendError"),
    ("out-of-scope", 403, "insufficientPermissions"),
]:
    stage("trouble", mailbox=MAILBOX, method="getProfile", kind=kind)
    refused(kind, status, reason, users.getProfile(userId="me").execute)
# The library renews by itself when a token has ended, and the call then succeeds.
before = credentials.token
stage("trouble", mailbox=MAILBOX, kind="token-ended")
check("renewed on 401", users.getProfile(userId="me").execute()["emailAddress"], MAILBOX)
check("with another token", credentials.token != before, True)

# The push, as Google's own library checks it.
pushed = stage("push", mailbox=MAILBOX)
certs = f"{BASE}/oauth2/v3/certs"
claims = id_token.verify_token(pushed["token"], Request(http), audience="storeward-local-gmail-push", certs_url=certs)
check("whose push", claims["email"], "test-pusher@storeward-local.iam.gserviceaccount.com")
check("from whom", (claims["iss"], claims["email_verified"]), ("https://accounts.google.com", True))
message = pushed["body"]["message"]
check("in both spellings", (message["messageId"], message["publishTime"]), (message["message_id"], message["publish_time"]))
notice = json.loads(base64.b64decode(message["data"]))
check("what it says", notice, {"emailAddress": MAILBOX, "historyId": int(users.getProfile(userId="me").execute()["historyId"])})
raises("another's push", Exception, "udience",
       lambda: id_token.verify_token(pushed["token"], Request(http), audience="another", certs_url=certs))

# The end: revoked, and nothing opens any more.
revoked = http.post(f"{BASE}/revoke", data={"token": credentials.refresh_token}, timeout=10)
check("revoked", revoked.status_code, 200)
check("twice", http.post(f"{BASE}/revoke", data={"token": credentials.refresh_token}, timeout=10).json()["error"], "invalid_token")
raises("a consent that has ended", exceptions.RefreshError, "invalid_grant", lambda: credentials.refresh(Request(http)))

print(f"google: {checks} checks of the official libraries passed")
