// What the app looks at, kept current: the channels and lists of one user, from what the connection brings.
//
// Loaded when the app first looks at something, since much of it is of no use before. Nothing is missed by that: a
// channel begins with what the server says it is now, and goes on from there.
//
// Not here: the connection, unread counts and the outbox, which go on without it (driver.ts).

import type { Output } from "./connection.js";
import type { Driver } from "./driver.js";
import { cidOf } from "./ids.js";
import { LiveChannel } from "./live_channel.js";
import { LiveList } from "./live_list.js";
import { kept } from "./observable.js";
import type { News, Shown } from "./views.js";
import type { Event, EventFrame, Ready } from "./wire.js";

export class Live implements Shown {
  readonly driver: Driver;
  readonly #channels = new Map<string, LiveChannel>();
  readonly #lists = new Map<string, LiveList>();
  #epoch: string | undefined;
  /** Up to which event each channel was heard of: the answer to a call may be older. */
  readonly heard = new Map<string, number>();
  #unsubscribeOutbox: () => void;

  /** `brought`: channels that are to be loaded. */
  constructor(driver: Driver, brought: Iterable<string>) {
    this.driver = driver;
    this.#epoch = driver.ready.get()?.epoch;
    this.#unsubscribeOutbox = driver.outbox.entries.subscribe(() => {
      for (const channel of this.#channels.values()) channel.showMessages();
    });
    for (const cid of brought) void this.channel(cid).reload();
  }

  channel(cid: string): LiveChannel {
    return kept(this.#channels, cid, () => new LiveChannel(this, cid));
  }

  list(query: string): LiveList {
    return kept(this.#lists, query, () => new LiveList(this, query));
  }

  take(news: News): void {
    switch (news.type) {
      case "ready":
        this.#ready(news.ready);
        break;
      case "deliver":
        this.#deliver(news.event);
        break;
      case "signal": {
        const { signal } = news;
        if (signal.type === "typing.start" || signal.type === "typing.stop") {
          this.#channels.get(signal.cid)?.types(signal.user, signal.type === "typing.start");
        }
        break;
      }
      case "reset":
        this.#reset(news);
        break;
      case "counted":
        for (const channel of this.#channels.values()) channel.showUnread();
        break;
      case "outbox.changed":
        if (news.status === "sent") this.#channels.get(news.cid)?.stored(news.message);
    }
  }

  /** Other channels may match the lists than did. */
  stale(): void {
    for (const list of this.#lists.values()) list.stale();
  }

  end(): void {
    this.#unsubscribeOutbox();
    for (const known of [...this.#channels.values(), ...this.#lists.values()]) known.end();
  }

  #ready({ epoch }: Ready): void {
    const isOther = this.#epoch !== undefined && this.#epoch !== epoch;
    this.#epoch = epoch;
    if (isOther) this.heard.clear();
    for (const channel of this.#channels.values()) {
      channel.showUnread();
      // Also those that no reset will name, because no event of theirs was heard.
      if (isOther) channel.reset("other_epoch");
      channel.settle();
    }
    for (const list of this.#lists.values()) list.connected();
  }

  #deliver(frame: EventFrame): void {
    const { event, topic, seq } = frame;
    const cid = cidOf(topic);
    if (cid === undefined) return this.#ownEvent(event);
    this.heard.set(cid, seq);
    const channel = this.#channels.get(cid);
    channel?.event(frame);
    channel?.showUnread();
    if (event.type === "channel.deleted") this.#gone(cid);
    else if (event.type === "message.new" || event.type === "channel.updated") {
      const at = event.type === "message.new" ? event.message.created_at : undefined;
      for (const list of this.#lists.values()) list.heardOf(cid, at);
    }
  }

  /** Takes an event of the user's own topic. */
  #ownEvent(event: Event): void {
    switch (event.type) {
      case "notification.added_to_channel":
      case "notification.removed_from_channel": {
        const isMember = event.type === "notification.added_to_channel";
        this.#channels.get(event.cid)?.membershipChanged(isMember);
        if (!isMember) this.#gone(event.cid);
        this.stale();
        break;
      }
      default:
        // How far its user has read, or what only the sender of a message hears of it.
        if ("cid" in event) this.#channels.get(event.cid!)?.ownEvent(event);
    }
  }

  #reset({ topic, reason, head }: Extract<Output, { type: "reset" }>): void {
    const cid = cidOf(topic);
    if (cid !== undefined) {
      this.heard.set(cid, head);
      this.#channels.get(cid)?.reset(reason);
      if (reason === "no_access") this.#gone(cid);
    } else if (topic.startsWith("user:")) {
      // Channels may have been joined and left meanwhile.
      this.stale();
    }
  }

  #gone(cid: string): void {
    for (const list of this.#lists.values()) list.gone(cid);
  }
}
