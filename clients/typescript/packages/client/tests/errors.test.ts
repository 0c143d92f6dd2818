import { existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { refusal } from "../src/answers.js";
import { CLIENT_ERRORS, ParlourError, parlourError, textOf } from "../src/errors.js";
import type { ErrorBody } from "../src/wire.js";

const RUST = new URL("../../../../../crates/parlour-wire/src/error.rs", import.meta.url);

const body: ErrorBody = {
  code: "text_too_long",
  status: 400,
  number: 20,
  message: "The text has 5001 characters; this channel allows 5000.",
  hint: "Shorten the text.",
  fields: { "message.text": "5001 of at most 5000 characters" },
  request_id: "req-1",
  retryable: false,
  docs: "/docs/errors/text_too_long",
};

test("an error of the server comes through as it is, with a link that can be opened (F14.1, F14.3)", () => {
  const error = new ParlourError(body, "https://chat.example.com/parlour");
  expect(error).toBeInstanceOf(Error);
  expect({ ...error, message: error.message }).toEqual({
    name: "ParlourError",
    code: "text_too_long",
    status: 400,
    retryable: false,
    message: body.message,
    hint: "Shorten the text.",
    docs: "https://chat.example.com/parlour/docs/errors/text_too_long",
    fields: { "message.text": "5001 of at most 5000 characters" },
    requestId: "req-1",
    number: 20,
  });
  expect(String(error)).toBe(`ParlourError: ${body.message}`);
});

test("a link stays as it is where the server is not known, and where it is whole already", () => {
  expect(new ParlourError(body).docs).toBe("/docs/errors/text_too_long");
  const elsewhere = { ...body, docs: "https://docs.example.com/text_too_long" };
  expect(new ParlourError(elsewhere, "https://chat.example.com").docs).toBe(elsewhere.docs);
});

test("what an error has not is absent, so that a log shows what there is", () => {
  const { fields: _, number: __, ...rest } = body;
  // A frame belongs to no request.
  const error = new ParlourError({ ...rest, request_id: "" });
  expect(Object.keys(error).sort()).toEqual(["code", "docs", "hint", "name", "retryable", "status"]);
  expect(new ParlourError({ ...body, retry_after: 0 }).retryAfter).toBe(0);
});

test("errors that the client makes are those of the server's table", () => {
  const text = readFileSync(RUST, "utf8");
  const row = /\w+ = "(\w+)", (\d+), (?:None|Some\((\d+)\)), (true|false),/g;
  const rust = new Map([...text.matchAll(row)].map(([, code, ...rest]) => [code!, rest]));
  expect(rust.size).toBeGreaterThan(40);
  for (const [code, row] of Object.entries(CLIENT_ERRORS)) {
    const [status, retryable, number]: readonly (number | boolean)[] = row;
    const own = [String(status), number === undefined ? undefined : String(number), String(retryable)];
    expect([code, ...own]).toEqual([code, ...(rust.get(code) ?? [])]);
    // Where the hint leads.
    expect(existsSync(new URL(`../../../../../docs/src/errors/${code}.md`, import.meta.url)), code).toBe(true);
  }
});

test("the client's table has no error that the client does not make", () => {
  const src = new URL("../src/", import.meta.url);
  const files = readdirSync(src).filter((name) => name.endsWith(".ts") && name !== "wire.ts");
  const text = files.map((name) => readFileSync(new URL(name, src), "utf8")).join("\n");
  for (const code of Object.keys(CLIENT_ERRORS)) expect(text).toContain(`"${code}"`);
});

test("an error of the client has everything that one of the server has (F14.1)", () => {
  const error = parlourError("not_logged_in", "nobody is here", "https://chat.example.com");
  expect(error).toMatchObject({ code: "not_logged_in", status: 401, retryable: false, number: 5 });
  expect(error).toMatchObject({ message: "nobody is here", hint: expect.stringContaining("docs") });
  expect(error.docs).toBe("https://chat.example.com/docs/errors/not_logged_in");
  expect("cause" in error).toBe(false);
  expect(parlourError("timeout", "").number).toBeUndefined();
});

test("single fields of an error of the client may differ, and its cause is kept", () => {
  const cause = new Error("signed out");
  const error = parlourError("token_missing", "no token", undefined, { retryable: true, cause });
  expect(error).toMatchObject({ code: "token_missing", retryable: true, status: 401 });
  expect(error.cause).toBe(cause);
});

test("an answer of something else than Parlour is a typed error too", () => {
  const page = `<html>${"x".repeat(300)}</html>`;
  const codes: [status: number, code: string, retryable: boolean][] = [
    [400, "invalid_input", false],
    [404, "not_found", false],
    [413, "invalid_input", false],
    [418, "invalid_input", false],
    [429, "rate_limited", true],
    [499, "invalid_input", false],
    [500, "unavailable", true],
    [502, "unavailable", true],
    [503, "unavailable", true],
    [504, "unavailable", true],
  ];
  for (const [status, code, retryable] of codes) {
    const error = refusal(status, page, null, "https://a");
    expect(error).toMatchObject({ status, code, retryable, docs: `https://a/docs/errors/${code}` });
    expect(error.message).toBe(`status ${status} with a body that is not Parlour's: ${page.slice(0, 200)}`);
  }
});

test("a redirect is an error that says what to do: a token is not carried elsewhere", () => {
  // A browser shows no more of one than a status of 0.
  for (const status of [0, 301, 308]) {
    const error = refusal(status, "", null, "");
    expect(error).toMatchObject({ status, code: "internal" });
    expect(error.message).toContain("redirect");
  }
});

test("JSON that is no error of Parlour's is a foreign answer", () => {
  const { docs: _, ...incomplete } = body;
  const strangers = [
    null,
    [],
    "text",
    { error: null },
    { error: "not found" },
    { error: { ...body, code: 404 } },
    { error: { ...body, status: "400" } },
    { error: incomplete },
  ];
  for (const stranger of strangers) {
    const error = refusal(404, JSON.stringify(stranger), null, "");
    expect(error).toMatchObject({ code: "not_found", status: 404 });
  }
  expect(refusal(400, JSON.stringify({ error: body }), null, "").code).toBe("text_too_long");
});

test("the wait that was asked for is that of the body, else that of the header", () => {
  const limited = { ...body, code: "rate_limited", status: 429, retry_after: 3 };
  expect(refusal(429, JSON.stringify({ error: limited }), "7", "").retryAfter).toBe(3);
  expect(refusal(400, JSON.stringify({ error: body }), "7", "").retryAfter).toBe(7);
  expect(refusal(503, "busy", " 12 ", "").retryAfter).toBe(12);
  for (const other of ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1.5", "", null]) {
    expect(refusal(503, "busy", other, "").retryAfter).toBeUndefined();
  }
});

test("the reason that a failure hides in its cause is told", () => {
  const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" });
  expect(textOf(new TypeError("fetch failed", { cause: refused }))).toBe(
    "fetch failed: connect ECONNREFUSED 127.0.0.1:1",
  );
  expect(textOf(Object.assign(new Error(""), { code: "ECONNREFUSED" }))).toBe("ECONNREFUSED");
  expect(textOf("plain text")).toBe("plain text");
  expect(textOf(undefined)).toBe("undefined");
  expect(textOf({ message: "an object" })).toBe("an object");
});
