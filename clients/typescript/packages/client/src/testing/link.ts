// A fake server's end of a connection, with the socket that the client holds: `hello`, resumes, heartbeats.

import type { ClientFrame, Hello, Ready, ResetReason, Resumed, ServerFrame, WatchTopic } from "../wire.js";
import type { Seen } from "./fake_server.js";
import { isoNow, Refusal, type World } from "./world.js";

// A real server's own: what apps meet in tests is what they meet in the field.
const HEARTBEAT_MS = 25_000;
const DEAD_LINK_MS = 35_000;
const TOKEN_GRACE_MS = 30_000;
const MISSED_MAX = 300;
/** Topics that a resume does not name are served from this long before its `as_of`. */
const OVERLAP_MS = 10_000;
const EPOCH = "e-fake";

/** From where a topic goes on after a resume. */
type Place = { after: number } | { since: number } | { reset: ResetReason };

type Listener = ((event: never) => void) | null;

/** A socket in the place of `WebSocket`, and what the server knows of it. */
export class Link {
  readyState = 0;
  onopen: Listener = null;
  onmessage: Listener = null;
  onerror: Listener = null;
  onclose: Listener = null;
  /** `undefined` before `hello`. */
  user: string | undefined;
  readonly watched = new Set<string>();
  /** Half-open: nothing gets through, either way. */
  isSilent = false;
  readonly #world: World;
  readonly #seen: Seen;
  readonly #number: number;
  #ping: ReturnType<typeof setTimeout> | undefined;
  #tokenDue: ReturnType<typeof setTimeout> | undefined;
  /** What comes later does not overtake what was sent before a delay ended. */
  #arrivesAt = 0;
  #isEnding = false;

  constructor(world: World, seen: Seen) {
    this.#world = world;
    this.#seen = seen;
    this.#number = ++seen.dials;
    world.changed();
    setTimeout(() => this.#open(), world.delayMs);
  }

  // The client's side.

  send(text: string): void {
    if (this.readyState !== 1 || this.isSilent) return;
    const frame = JSON.parse(text) as ClientFrame;
    if (frame.type === "hello") this.#seen.hellos.push(frame);
    else if (frame.type !== "pong") this.#seen.frames.push(frame);
    this.#hear(frame);
    this.#world.changed();
  }

  close(code = 1005): void {
    if (this.readyState >= 2) return;
    this.#seen.closes.push(code);
    const wasOpen = this.readyState === 1;
    this.readyState = 2;
    this.#forget();
    if (wasOpen) this.#seen.live--;
    setTimeout(() => this.#closed(code));
    this.#world.changed();
  }

  // The server's side.

  tell(frame: ServerFrame): void {
    if (this.readyState !== 1 || this.isSilent || this.#isEnding) return;
    // A copy, as on a wire: what happens later does not change what was said.
    const data = JSON.stringify(frame);
    this.#later(() => this.onmessage?.({ data } as never));
  }

  /** Ends the connection: with this close code, or broken without one. */
  end(code = 1006): void {
    if (this.isSilent) return;
    this.#forget();
    if (this.readyState === 1) this.#later(() => this.#breaks(code));
    else if (this.readyState === 0) this.#breaks(code);
    this.#isEnding = true;
  }

  askForToken(): void {
    this.tell({ type: "token_expiring", grace_ms: TOKEN_GRACE_MS });
    clearTimeout(this.#tokenDue);
    this.#tokenDue = setTimeout(() => this.#refuse(new Refusal("token_expired")), TOKEN_GRACE_MS);
  }

  #open(): void {
    if (this.readyState !== 0) return;
    if (this.#world.isDown) return this.#closed(1006);
    this.readyState = 1;
    this.#world.links.add(this);
    this.#seen.liveMax = Math.max(this.#seen.liveMax, ++this.#seen.live);
    this.#beat();
    this.#world.changed();
    this.onopen?.({} as never);
  }

  #beat(): void {
    this.#ping = setTimeout(() => {
      this.tell({ type: "ping", as_of: isoNow() });
      this.#beat();
    }, HEARTBEAT_MS);
  }

  #later(what: () => void): void {
    const now = Date.now();
    this.#arrivesAt = Math.max(this.#arrivesAt, now + this.#world.delayMs);
    setTimeout(() => this.readyState === 1 && !this.isSilent && what(), this.#arrivesAt - now);
  }

  #forget(): void {
    clearTimeout(this.#ping);
    clearTimeout(this.#tokenDue);
    this.#world.links.delete(this);
  }

  #breaks(code: number): void {
    if (this.readyState === 1) this.#seen.live--;
    this.#closed(code);
    this.#world.changed();
  }

  #closed(code: number): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason: "" } as never);
  }

  #hear(frame: ClientFrame): void {
    const { user } = this;
    if (frame.type === "hello") return this.#greet(frame);
    if (user === undefined) return this.end(4000);
    switch (frame.type) {
      case "ping":
        return this.tell({ type: "pong", id: frame.id });
      case "watch":
        return frame.topics.forEach((topic) => this.#watch(user, topic));
      case "unwatch":
        return frame.topics.forEach((topic) => this.watched.delete(topic));
      case "signal": {
        const cid = frame.topic.slice("channel:".length);
        const signal = { type: frame.signal.type, cid, user: this.#world.brief(user) };
        return this.#world.signal(frame.topic, user, signal);
      }
      case "token":
        try {
          this.#world.verify(frame.token, user);
          return clearTimeout(this.#tokenDue);
        } catch (error) {
          return this.#refuse(error as Refusal);
        }
    }
  }

  /** Says why, and closes. */
  #refuse({ code: why, body }: Refusal): void {
    const code = why === "token_expired" ? 4202 : 4002;
    this.tell({ type: "error", error: body });
    this.tell({ type: "bye", code, reason: body.message });
    this.end(code);
  }

  #watch(user: string, { topic, after }: WatchTopic): void {
    const isOpen = topic.startsWith("channel:") && this.#world.mayRead(topic.slice("channel:".length), user);
    if (!isOpen && !this.#world.listens(user, topic)) {
      return this.tell({ type: "error", error: new Refusal("not_found").body, topic });
    }
    if (after !== undefined) this.#catchUp(topic, this.#placeAfter(topic, after));
    this.watched.add(topic);
  }

  #greet(hello: Hello): void {
    const { user: named } = hello;
    let user: string;
    try {
      user = this.#world.verify(hello.token, named?.id);
    } catch (error) {
      return this.#refuse(error as Refusal);
    }
    this.#world.users.set(user, { ...this.#world.user(user), ...named, id: user });
    this.user = user;
    const places = this.#places(user, hello);
    this.tell({ type: "ready", ...this.#ready(user, hello, places) });
    for (const [topic, place] of places) this.#catchUp(topic, place);
  }

  /** From where each topic goes on; nothing for a fresh start. */
  #places(user: string, { resume }: Hello): Map<string, Place> {
    if (!resume) return new Map();
    const world = this.#world;
    const since = Date.parse(resume.as_of) - OVERLAP_MS;
    const places = new Map<string, Place>(world.topicsOf(user).map((topic) => [topic, { since }]));
    const forgotten = world.forgotten.delete(user);
    for (const [topic, cursor] of Object.entries(resume.cursors)) {
      if (!world.listens(user, topic)) places.set(topic, { reset: "no_access" });
      else if (resume.epoch !== EPOCH) places.set(topic, { reset: "other_epoch" });
      else if (forgotten) places.set(topic, { reset: "trimmed" });
      else places.set(topic, this.#placeAfter(topic, cursor));
    }
    return places;
  }

  #placeAfter(topic: string, cursor: number): Place {
    const head = this.#world.head(topic);
    if (cursor > head) return { reset: "ahead_of_head" };
    if (cursor < this.#world.trimmed(topic)) return { reset: "trimmed" };
    return head - cursor > MISSED_MAX ? { reset: "too_far_behind" } : { after: cursor };
  }

  #catchUp(topic: string, place: Place): void {
    if ("reset" in place) {
      const head = place.reset === "no_access" ? 0 : this.#world.head(topic);
      return this.tell({ type: "reset", topic, reason: place.reset, head });
    }
    const { after = 0, since } = place as { after?: number; since?: number };
    for (const frame of this.#world.missed(topic, after, since)) this.tell({ type: "event", ...frame });
  }

  #ready(user: string, { app_key, resume }: Hello, places: Map<string, Place>): Ready {
    const hasReset = [...places.values()].some((place) => "reset" in place);
    const resumed: Resumed = !resume ? "fresh" : hasReset ? "caught_up" : "resumed";
    const topics = [...this.#world.topicsOf(user), `app:${app_key}`];
    return {
      connection_id: `c-${this.#number}`,
      me: this.#world.me(user)!,
      epoch: EPOCH,
      as_of: isoNow(),
      heartbeat_ms: HEARTBEAT_MS,
      limits: {
        frame_bytes: 65_536,
        frames_per_second: 20,
        frames_burst: 60,
        connections_per_user: 3,
        dead_link_ms: DEAD_LINK_MS,
        message_chars: 5_000,
      },
      resumed,
      heads: Object.fromEntries(topics.map((topic) => [topic, this.#world.head(topic)])),
      channels: this.#world.unreadTotals(user).channels,
      presence: [],
    };
  }
}

