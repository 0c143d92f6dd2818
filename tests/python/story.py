"""Two people chat while their server is killed again and again. Told to `crates/parlour/tests/python.rs`,
which holds the server: this program prints `kill`, the server dies by SIGKILL and comes back on the same data
and port, and `again` comes on the standard input.

Usage: story.py URL APP_KEY SECRET
"""

import asyncio
import json
import sys

from parlour_client import Client, Http, Refused, Stopped, sign
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed

MESSAGES = 60
KILLS = 3
CID = "messaging:general"
TOPIC = f"channel:{CID}"


class Server:
    """The server as its killer sees it."""

    async def kill(self):
        print("kill", flush=True)
        answer = await asyncio.to_thread(sys.stdin.readline)
        assert answer == "again\n", f"the server did not come back: {answer!r}"


class Person:
    def __init__(self, url, app_key, secret, name):
        self.name = name
        token = sign(secret, {"user_id": name})
        self.http = Http(url, app_key, token)
        listed = {"friends_and": ["alice", "bob"]}
        self.client = Client(url, app_key, token, user={"id": name, "name": name.title()}, presence=listed)
        self.acknowledged = []

    async def connects(self):
        self.client.start()
        await self.client.until("ready", lambda: self.client.readies)

    async def says(self, text):
        status, message = await self.http.send(CID, text)
        assert message["text"] == text and message["user"]["id"] == self.name, message
        self.acknowledged.append((message["id"], message["seq"]))
        return status, message

    def heard(self):
        """The messages of the channel as they came: (seq, id)."""
        events = self.client.of_topic(TOPIC)
        return [(seq, event["message"]["id"]) for seq, event in events if event["type"] == "message.new"]

    async def has_heard_all_until(self, head):
        await self.client.until(f"seq {head}", lambda: self.client.cursors.get(TOPIC, 0) >= head)


async def refused(call, status, code):
    try:
        await call
    except Refused as error:
        assert (error.status, error.error["code"]) == (status, code), error
    else:
        raise AssertionError(f"{code} was expected")


async def they_meet(alice, bob, backend):
    status, answer = await backend.ask("POST", "/v1/users", {"users": [{"id": "carol", "name": "Carol"}]})
    assert status == 200 and answer["users"][0]["id"] == "carol", answer
    await alice.connects()
    await bob.connects()
    ready = alice.client.readies[0]
    assert ready["resumed"] == "fresh" and ready["me"]["id"] == "alice" and ready["me"]["name"] == "Alice", ready

    status, channel = await alice.http.ask("POST", "/v1/channels/messaging/general", {"members": ["bob"]})
    assert status == 201 and channel["created"] and channel["channel"]["cid"] == CID, channel
    again, _ = await bob.http.ask("POST", "/v1/channels/messaging/general", {})
    assert again == 200
    for person in (alice, bob):
        topic = f"user:{person.name}"
        await person.client.until("to be added", lambda: person.client.of_topic(topic))
        added = person.client.of_topic(topic)[-1][1]
        assert (added["type"], added["cid"]) == ("notification.added_to_channel", CID), added
        await person.has_heard_all_until(channel["head"])


async def they_chat(alice, bob):
    await alice.client.say({"type": "signal", "topic": TOPIC, "signal": {"type": "typing.start"}})
    types = lambda kind: [s for s in bob.client.signals if s["type"] == kind and s["user"]["id"] == "alice"]
    await bob.client.until("alice to type", lambda: types("typing.start"))
    _, hello = await alice.says("Hello, Bob")
    await bob.client.until("alice to stop typing", lambda: types("typing.stop"))
    _, answer = await bob.says("Hello, Alice")
    assert answer["seq"] == hello["seq"] + 1

    # The same id again is the same message; with other words it is refused (§3).
    status, same = await alice.http.send(CID, "Hello, Bob", hello["id"])
    assert (status, same["seq"]) == (200, hello["seq"]), (status, same)
    await refused(alice.http.send(CID, "Something else", hello["id"]), 409, "id_conflict")
    await refused(bob.http.send(CID, "Hello, Bob", hello["id"]), 409, "id_conflict")

    # Reading (§11).
    status, unread = await bob.http.ask("GET", "/v1/unread")
    assert unread["total_unread_count"] == 1, unread
    status, read = await bob.http.ask("POST", "/v1/channels/messaging/general/read", {"seq": answer["seq"]})
    assert read["unread"]["unread_messages"] == 0, read
    has_read = lambda: [
        event
        for _, event in alice.client.of_topic(TOPIC)
        if event["type"] == "message.read" and event["last_read_seq"] == answer["seq"]
    ]
    await alice.client.until("bob to have read", has_read)


async def the_server_dies_while_they_talk(alice, bob, server):
    sent = asyncio.Semaphore(0)

    async def talks(person):
        for number in range(MESSAGES):
            await person.says(f"{person.name} {number}")
            sent.release()

    async def kills():
        for _ in range(KILLS):
            for _ in range(2 * MESSAGES // (KILLS + 1)):
                await sent.acquire()
            connections = len(alice.client.readies), len(bob.client.readies)
            await server.kill()
            # Else a kill might find somebody who is still on the way back from the one before.
            for person, before in zip((alice, bob), connections):
                await person.client.until("ready again", lambda: len(person.client.readies) > before)

    await asyncio.gather(talks(alice), talks(bob), kills())
    _, last = await alice.says("That is all")
    for person in (alice, bob):
        await person.has_heard_all_until(last["seq"])


def everything_came_once_and_in_order(alice, bob):
    acknowledged = dict(alice.acknowledged + bob.acknowledged)
    assert len(acknowledged) == 2 * MESSAGES + 3
    for person in (alice, bob):
        seqs = [seq for seq, _ in person.client.of_topic(TOPIC)]
        assert seqs == list(range(seqs[0], seqs[-1] + 1)), f"{person.name}: a hole, or a double: {seqs}"
        heard = {message_id: seq for seq, message_id in person.heard()}
        assert len(heard) == len(person.heard()), f"{person.name} heard a message twice"
        assert heard == acknowledged, f"{person.name}: {heard.items() ^ acknowledged.items()}"
        in_order_of_sending = [seq for _, seq in person.acknowledged]
        assert in_order_of_sending == sorted(in_order_of_sending), person.name
        resumed = [ready["resumed"] for ready in person.client.readies[1:]]
        assert len(resumed) >= KILLS and set(resumed) == {"resumed"}, f"{person.name}: {resumed}"
        assert not person.client.resets, person.client.resets
    assert alice.heard() == bob.heard()


async def what_the_store_says_is_the_same(alice):
    stored, before = [], None
    while True:
        place = "" if before is None else f"&before={before}"
        _, page = await alice.http.ask("GET", f"/v1/channels/messaging/general/messages?limit=100{place}")
        stored = [(message["seq"], message["id"]) for message in page["messages"]] + stored
        if not page["has_more_before"]:
            break
        before = stored[0][0]
    assert stored == alice.heard()


async def a_log_that_is_another_one_is_reset(url, app_key, secret):
    client = Client(url, app_key, sign(secret, {"user_id": "bob"}))
    client.epoch, client.as_of, client.cursors = "another", "2026-11-21T06:47:00.000Z", {TOPIC: 3}
    client.start()
    await client.until("a reset", lambda: any(reset["topic"] == TOPIC for reset in client.resets))
    assert client.readies[0]["resumed"] == "caught_up"
    assert {reset["reason"] for reset in client.resets} == {"other_epoch"}, client.resets
    await client.leave()

    ahead = Client(url, app_key, sign(secret, {"user_id": "bob"}))
    ready = client.readies[0]
    ahead.epoch, ahead.as_of, ahead.cursors = ready["epoch"], ready["as_of"], {TOPIC: 1_000_000}
    ahead.start()
    await ahead.until("a reset", lambda: ahead.resets)
    assert [(reset["topic"], reset["reason"]) for reset in ahead.resets] == [(TOPIC, "ahead_of_head")]
    assert ahead.cursors[TOPIC] == ahead.resets[0]["head"] < 1_000_000
    await ahead.leave()


async def carol_joins_and_is_removed(alice, carol):
    await carol.connects()
    path = "/v1/channels/messaging/general"
    await refused(carol.http.ask("GET", path), 404, "not_found")
    await alice.http.ask("POST", f"{path}/members", {"add": ["carol"], "hide_history": True})
    await carol.client.until("to be added", lambda: carol.client.of_topic("user:carol"))
    _, state = await carol.http.ask("GET", path)
    assert state["messages"] == [] and state["membership"]["hidden_up_to"] > 0, state
    _, message = await alice.says("Welcome, Carol")
    await carol.has_heard_all_until(message["seq"])
    await alice.http.ask("POST", f"{path}/members", {"remove": ["carol"]})
    await carol.client.until("to be removed", lambda: len(carol.client.of_topic("user:carol")) == 2)
    last = carol.client.of_topic("user:carol")[-1][1]
    assert last["type"] == "notification.removed_from_channel", last
    _, secret = await alice.says("She is gone")
    await alice.has_heard_all_until(secret["seq"])
    # Something that she does hear comes after it, so this is not only "not yet".
    await carol.http.ask("PATCH", "/v1/users/carol", {"set": {"name": "Carol again"}})
    await carol.client.until("her own change", lambda: len(carol.client.of_topic("user:carol")) == 3)
    assert all(seq < secret["seq"] for seq, _ in carol.client.of_topic(TOPIC)), carol.client
    await carol.client.leave()


async def who_may_not_connect_is_told_why(url, app_key, secret):
    cases = [
        ("another secret", app_key, sign("x" * 40, {"user_id": "bob"}), 4002, "token_signature"),
        ("a token of the past", app_key, sign(secret, {"user_id": "bob", "exp": 1_000_000_000}), 4202, "token_expired"),
        ("a server's token", app_key, sign(secret, {"server": True}), 4007, "server_token_cannot_connect"),
        ("another app", "nobody", sign(secret, {"user_id": "bob"}), 4001, "unknown_app"),
    ]
    for what, key, token, code, error in cases:
        hello = {"type": "hello", "app_key": key, "token": token, "client": {"instance": "i", "version": 1}}
        assert await last_words(url, json.dumps(hello)) == (code, error), what
    assert await last_words(url, json.dumps({"type": "ping", "id": 1})) == (4000, "bad_frame")
    assert (await last_words(url, "no JSON"))[0] == 4000
    stopped = Client(url, app_key, sign("x" * 40, {"user_id": "bob"}))
    stopped.start()
    try:
        await stopped.until("nothing", lambda: False)
    except Stopped as why:
        assert (why.code, why.error["code"]) == (4002, "token_signature"), why


async def last_words(url, text):
    """Says something first, and answers the close code and the error before it."""
    error = None
    async with open_websocket(url.replace("http", "ws", 1) + "/v1/connect", proxy=None) as websocket:
        await websocket.send(text)
        try:
            while True:
                frame = json.loads(await asyncio.wait_for(websocket.recv(), 15))
                if frame["type"] == "error":
                    error = frame["error"]["code"]
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None, error


async def leaving_is_seen_at_once(alice, bob):
    await bob.client.until("alice to be online", lambda: "alice" in bob.client.there)
    await alice.client.leave()
    # Below the 15 seconds that a broken connection would have.
    await bob.client.until("alice to be offline", lambda: "alice" not in bob.client.there, timeout=5)
    await bob.client.leave()


async def main():
    url, app_key, secret = sys.argv[1:]
    backend = Http(url, app_key, sign(secret, {"server": True}))
    alice, bob, carol = (Person(url, app_key, secret, name) for name in ("alice", "bob", "carol"))
    await they_meet(alice, bob, backend)
    await they_chat(alice, bob)
    await the_server_dies_while_they_talk(alice, bob, Server())
    everything_came_once_and_in_order(alice, bob)
    await what_the_store_says_is_the_same(alice)
    await a_log_that_is_another_one_is_reset(url, app_key, secret)
    await carol_joins_and_is_removed(alice, carol)
    await who_may_not_connect_is_told_why(url, app_key, secret)
    await leaving_is_seen_at_once(alice, bob)
    print(f"done: {len(alice.heard())} messages, {len(alice.client.readies)} connections of alice", flush=True)


asyncio.run(main())
