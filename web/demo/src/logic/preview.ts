// The line that stands under a channel's name in the list.

import type { Message } from "@parlour/client";
import { nameOf } from "./people.js";

/** The last message in one line; who wrote it stands before it, except where only one other could have. */
export function previewOf(message: Message | undefined, me: string, oneToOne: boolean): string {
  if (!message) return "No messages yet";
  if (message.type === "deleted") return "Message deleted";
  const text = message.text.replace(/\s+/gu, " ").trim().slice(0, 200) || attachmentsText(message);
  if (message.type === "system") return text;
  if (message.user.id === me) return `You: ${text}`;
  return oneToOne ? text : `${nameOf(message.user)}: ${text}`;
}

function attachmentsText(message: Message): string {
  return message.attachments?.length ? "Attachment" : "";
}
