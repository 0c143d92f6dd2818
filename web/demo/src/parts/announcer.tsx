import type { ListedMessage } from "@parlour/client";
import { useEffect, useRef, useState } from "react";
import { nameOf } from "../logic/people.js";

/** More at once would only be noise; the last ones are what is going on. */
const AT_ONCE_MAX = 3;

/** Tells screen readers what others say, and only what is new. */
export function Announcer({ entries, me }: { entries: readonly ListedMessage[]; me: string }) {
  const [text, setText] = useState("");
  const lastId = useRef(entries.at(-1)?.id);

  useEffect(() => {
    const from = lastId.current;
    lastId.current = entries.at(-1)?.id;
    if (from === undefined || from === lastId.current) return;
    const known = entries.findLastIndex((entry) => entry.id === from);
    const fresh = known < 0 ? [] : entries.slice(known + 1).filter(({ message }) => message.user.id !== me);
    if (fresh.length === 0) return;
    setText(
      fresh
        .slice(-AT_ONCE_MAX)
        .map(({ message }) => `${nameOf(message.user)}: ${message.text}`)
        .join("\n"),
    );
  }, [entries, me]);

  return (
    <div className="hidden-visually" role="status" aria-live="polite" aria-label="New messages">
      {text}
    </div>
  );
}
