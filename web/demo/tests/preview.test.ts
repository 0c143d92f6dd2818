import { describe, expect, it } from "vitest";
import { previewOf } from "../src/logic/preview.js";
import { said, systemSaid } from "./kit.js";

describe("the preview of a channel", () => {
  const { message } = said("bob", 1, undefined, "hello\n  there");

  it("is one line, with the writer where several could have written", () => {
    expect(previewOf(message, "alice", true)).toBe("hello there");
    expect(previewOf(message, "alice", false)).toBe("bob: hello there");
    expect(previewOf(message, "bob", true)).toBe("You: hello there");
  });

  it("tells what is not a text", () => {
    expect(previewOf(undefined, "alice", false)).toBe("No messages yet");
    expect(previewOf({ ...message, type: "deleted", text: "" }, "alice", false)).toBe("Message deleted");
    expect(previewOf({ ...message, text: "", attachments: [{}] }, "alice", true)).toBe("Attachment");
    expect(previewOf(systemSaid(1).message, "alice", false)).toBe("hi");
  });

  it("is short, however long the message", () => {
    expect(previewOf({ ...message, text: "x".repeat(5_000) }, "alice", true)).toHaveLength(200);
  });
});
