"""A Parlour client, written from spec/protocol.md and nothing else.

Section numbers in comments are those of that page. HTTP is the standard library's; the WebSocket is the
`websockets` package's.
"""

import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import random
import time
import urllib.parse
import uuid

import websockets
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed


def sign(secret, claims):
    """A token (§1): a JWT, HS256. A backend does this, never a client of a user's device."""

    def encoded(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    head = encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    signed = head + b"." + encoded(json.dumps(claims).encode())
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + encoded(signature)).decode()


class Refused(Exception):
    """An answer that is no success, with the error's body (§13)."""

    def __init__(self, status, error):
        super().__init__(f"{status} {error}")
        self.status = status
        self.error = error


class Http:
    """Asking (§1)."""

    def __init__(self, url, app_key, token, user=None):
        self.address = urllib.parse.urlsplit(url)
        self.headers = {"X-Parlour-App": app_key, "Authorization": f"Bearer {token}"}
        if user is not None:
            self.headers["X-Parlour-User"] = user

    async def ask(self, method, path, body=None):
        """The status and the body of the answer; `OSError` if there is none."""
        return await asyncio.to_thread(self._ask, method, path, body)

    def _ask(self, method, path, body):
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=10)
        try:
            headers = dict(self.headers)
            payload = None
            if body is not None:
                payload = json.dumps(body).encode()
                headers["Content-Type"] = "application/json"
            connection.request(method, path, body=payload, headers=headers)
            response = connection.getresponse()
            text = response.read()
        except http.client.HTTPException as broken:
            raise ConnectionError(str(broken)) from broken
        finally:
            connection.close()
        answer = json.loads(text) if text else None
        if response.status >= 400:
            raise Refused(response.status, answer["error"])
        return response.status, answer

    async def send(self, cid, text, message_id=None):
        """Sends a message, once, however often it takes (§3). Answers the status and the message."""
        message_id = message_id or str(uuid.uuid4())
        path = f"/v1/channels/{cid.replace(':', '/')}/messages"
        body = {"message": {"id": message_id, "text": text}}
        failures = 0
        while True:
            try:
                status, answer = await self.ask("POST", path, body)
                return status, answer["message"]
            except Refused as refused:
                if not refused.error["retryable"]:
                    raise
                wait = refused.error.get("retry_after", 0)
            except OSError:
                wait = 0
            failures += 1
            await asyncio.sleep(max(wait, random.uniform(0, min(2, 0.1 * 2**failures))))


class Stopped(Exception):
    """The server closed with a code after which one does not come back by oneself (§12)."""

    def __init__(self, code, error):
        super().__init__(f"{code} {error}")
        self.code = code
        self.error = error


class Client:
    """Listening (§4 to §12). `events`, `signals` and `resets` are what the app was given, in order."""

    def __init__(self, url, app_key, token, user=None, presence="none"):
        scheme, rest = url.split("://", 1)
        self.url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/v1/connect"
        self.app_key = app_key
        self.token = token
        self.user = user
        self.presence = presence
        self.instance = str(uuid.uuid4())
        # What a resume is made of.
        self.epoch = None
        self.as_of = None
        self.cursors = {}
        self.connection_id = None
        self.dead_link = 35.0
        # What the app sees.
        self.events = []
        self.signals = []
        self.resets = []
        self.readies = []
        self.seen = 0
        self.there = {}
        self.going = False
        self.changed = asyncio.Condition()
        self.websocket = None
        self.task = None
        self.stopped = None

    def start(self):
        self.task = asyncio.create_task(self._run())

    async def leave(self):
        """Offline at once (§12)."""
        self.going = True
        await self.say({"type": "bye", "intent": "leave"})
        await self.task

    async def say(self, frame):
        await self.websocket.send(json.dumps(frame))

    async def until(self, what, condition, timeout=30):
        """Waits until the condition holds; it is looked at whenever something came."""

        async def holds():
            async with self.changed:
                while not condition():
                    if self.stopped is not None:
                        raise self.stopped
                    await self.changed.wait()

        try:
            await asyncio.wait_for(holds(), timeout)
        except asyncio.TimeoutError:
            raise AssertionError(f"waited {timeout} s for: {what}; {self!r}") from None

    def of_topic(self, topic):
        return [(seq, event) for place, seq, event in self.events if place == topic]

    def __repr__(self):
        tail = [(topic, seq, event["type"]) for topic, seq, event in self.events[-5:]]
        return f"<{self.user}: cursors {self.cursors}, resets {self.resets}, last {tail}>"

    async def _run(self):
        failures = 0
        while True:
            began = time.monotonic()
            code = after = None
            try:
                code, after = await self._one_connection()
            except (OSError, asyncio.TimeoutError, websockets.exceptions.InvalidHandshake):
                pass
            except Stopped as stopped:
                async with self.changed:
                    self.stopped = stopped
                    self.changed.notify_all()
                return
            if self.going:
                return
            failures = 0 if time.monotonic() - began > 10 else failures + 1
            await asyncio.sleep(self._wait(code, after, failures))

    @staticmethod
    def _wait(code, after, failures):
        """How long to wait before the next dial: the table of §12, the backoff of §5."""
        if after is not None:
            return after / 1000
        if code is not None and (4100 <= code <= 4199 or code == 1013):
            return 1 + random.uniform(0, 1)
        if code is not None and 4200 <= code <= 4299:
            return 0
        if code in (1001, 1012):
            return random.uniform(0, 5)
        return random.uniform(0, min(20, 0.5 * 2 ** min(failures, 10)))

    async def _one_connection(self):
        """One connection from `hello` to its end. Answers the close code, and the wait that came with it."""
        said = {}
        # The library's own pings are off: the protocol has its own (§7).
        dial = open_websocket(self.url, ping_interval=None, max_size=None, proxy=None, open_timeout=10)
        async with dial as websocket:
            try:
                await websocket.send(json.dumps(self._hello()))
                await asyncio.wait_for(self._ready(websocket, said), 10)
                self.websocket = websocket
                while True:
                    text = await asyncio.wait_for(websocket.recv(), self.dead_link)
                    await self._frame(json.loads(text), said)
            except asyncio.TimeoutError:
                # The link is dead, or the dial took too long.
                await websocket.close(4900)
                return None, None
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd is not None else None
                code = said.get("code", code)
                is_terminal = code is not None and (4000 <= code <= 4099 or code in (1002, 1007, 1008, 1009))
                if is_terminal:
                    raise Stopped(code, said.get("error")) from None
                return code, said.get("retry_after_ms")
            finally:
                self.websocket = None

    def _hello(self):
        hello = {
            "type": "hello",
            "app_key": self.app_key,
            "token": self.token,
            "client": {"instance": self.instance, "sdk": "python-from-the-spec", "version": 1},
            "presence": self.presence,
        }
        if self.user is not None and self.epoch is None:
            hello["user"] = self.user
        if self.connection_id is not None:
            hello["replaces"] = self.connection_id
        if self.epoch is not None:
            # At most 500 (§5); this client never has so many.
            hello["resume"] = {"epoch": self.epoch, "as_of": self.as_of, "cursors": self.cursors}
        return hello

    async def _ready(self, websocket, said):
        """Everything before `ready` explains a close (§16)."""
        while True:
            frame = json.loads(await websocket.recv())
            if frame["type"] != "ready":
                self._words(frame, said)
                continue
            if self.epoch is not None and frame["epoch"] != self.epoch:
                self.cursors = {}
            self.epoch = frame["epoch"]
            self.as_of = frame["as_of"]
            self.connection_id = frame["connection_id"]
            self.dead_link = frame["limits"]["dead_link_ms"] / 1000
            if frame["resumed"] == "fresh":
                for topic, head in frame["heads"].items():
                    self.cursors.setdefault(topic, head)
            self.there = {user["user_id"]: user for user in frame["presence"] if user["online"]}
            async with self.changed:
                self.readies.append(frame)
                self.changed.notify_all()
            return

    @staticmethod
    def _words(frame, said):
        if frame["type"] == "error":
            said["error"] = frame["error"]
        elif frame["type"] == "bye":
            said["code"] = frame["code"]
            if "retry_after_ms" in frame:
                said["retry_after_ms"] = frame["retry_after_ms"]
        elif frame["type"] == "drain":
            said["retry_after_ms"] = frame["retry_after_ms"]

    async def _frame(self, frame, said):
        self._words(frame, said)
        if frame["type"] == "ping":
            self.as_of = frame["as_of"]
            await self.say({"type": "pong"})
            return
        async with self.changed:
            if frame["type"] == "event":
                await self._event(frame)
            elif frame["type"] == "signal":
                self.signals.append(frame["signal"])
                await self._presence(frame["signal"])
            elif frame["type"] == "reset":
                self.resets.append(frame)
                if frame["reason"] == "no_access":
                    self.cursors.pop(frame["topic"], None)
                else:
                    self.cursors[frame["topic"]] = frame["head"]
            self.changed.notify_all()

    async def _presence(self, signal):
        """Who is there (§10)."""
        if signal["type"] == "user.presence.snapshot":
            self.there = {}
        if signal["type"] in ("user.presence.snapshot", "user.presence.changed"):
            for user in signal["users"]:
                self.there.pop(user["user_id"], None)
                if user["online"]:
                    self.there[user["user_id"]] = user
        if signal["type"] == "user.presence.digest":
            told = (signal["online"], signal["away"], signal["sum"])
            if self._digest() != told:
                await self.say({"type": "presence"})

    def _digest(self):
        """What everything that was told of presence comes to."""
        total = 0
        for user in self.there.values():
            text = f"{user['user_id']} {'a' if user.get('away') else 'o'}"
            if "status" in user:
                text += f" {user['status']}"
            one = 2166136261
            for point in text:
                one = (one ^ ord(point)) * 16777619 % 2**32
            total = (total + one) % 2**32
        return len(self.there), sum(1 for user in self.there.values() if user.get("away")), total

    async def _event(self, frame):
        """The table of §4."""
        topic, seq = frame["topic"], frame["seq"]
        cursor = self.cursors.get(topic, seq - 1)
        if seq <= cursor:
            self.seen += 1
        elif seq == cursor + 1:
            self.events.append((topic, seq, frame["event"]))
            self.cursors[topic] = seq
        else:
            await self.say({"type": "watch", "topics": [{"topic": topic, "after": cursor}]})
