import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { endpointOf } from "../src/address.js";
import { ParlourError } from "../src/errors.js";
import { type TokenProvider, TokenSource } from "../src/token.js";

/** How long a provider may take stands here. */
const ENDPOINT = endpointOf({ url: "http://127.0.0.1:8790", appKey: "dev", callTimeoutMs: 1_000 });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A provider whose answers are given by hand, in the order in which it is asked. */
function backend() {
  const asked: { resolve(token: string): void; reject(error: unknown): void }[] = [];
  const provider = () => new Promise<string>((resolve, reject) => asked.push({ resolve, reject }));
  return { asked, source: new TokenSource(provider, ENDPOINT) };
}

async function failure(promise: Promise<unknown>): Promise<ParlourError> {
  const error = await promise.then(
    (token) => expect.fail(`it gave ${String(token)}`),
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ParlourError);
  return error as ParlourError;
}

/** What a source says when it has nothing but this provider. */
const refusalOf = (provider: unknown) => failure(new TokenSource(provider as TokenProvider, ENDPOINT).fresh());

test("a fixed token stays as it is, also when it was refused (F1.18)", async () => {
  const source = new TokenSource("fixed", ENDPOINT);
  expect(await source.fresh()).toBe("fixed");
  expect(await source.otherThan()).toBe("fixed");
  expect(await source.otherThan("fixed")).toBe("fixed");
});

test("a function may answer at once (F1.18)", async () => {
  expect(await new TokenSource(() => "at-once", ENDPOINT).fresh()).toBe("at-once");
});

test("the token in force is used until it is refused", async () => {
  const { asked, source } = backend();
  const first = source.otherThan();
  await vi.advanceTimersByTimeAsync(0);
  asked[0]!.resolve("first");
  expect(await first).toBe("first");
  expect(await source.otherThan()).toBe("first");
  expect(await source.otherThan("an-older-one")).toBe("first");
  expect(asked).toHaveLength(1);
  const second = source.otherThan("first");
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toHaveLength(2);
  asked[1]!.resolve("second");
  expect(await second).toBe("second");
  expect(await source.otherThan("first")).toBe("second");
});

test("a fresh token is asked for although there is one", async () => {
  const { asked, source } = backend();
  const first = source.fresh();
  asked[0]!.resolve("first");
  await first;
  const second = source.fresh();
  expect(asked).toHaveLength(2);
  asked[1]!.resolve("second");
  expect(await second).toBe("second");
  expect(await source.otherThan()).toBe("second");
});

test("whoever needs a token while the provider is asked gets the same answer (L6.27, F1.18, F1.20)", async () => {
  const { asked, source } = backend();
  const all = Promise.all([source.fresh(), source.otherThan(), source.fresh(), source.otherThan("refused")]);
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toHaveLength(1);
  asked[0]!.resolve("one-for-all");
  expect(await all).toEqual(Array(4).fill("one-for-all"));
});

test("whoever needs a token while the provider is asked gets the same failure", async () => {
  const { asked, source } = backend();
  const all = Promise.all([source.fresh(), source.otherThan(), source.otherThan("refused")].map(failure));
  asked[0]!.reject(new Error("down"));
  for (const error of await all) expect(error.message).toBe("no token: down");
  expect(asked).toHaveLength(1);
});

test("a provider that fails does not take away the token that is there", async () => {
  const { asked, source } = backend();
  const first = source.fresh();
  asked[0]!.resolve("first");
  await first;
  const [fresh, call] = [failure(source.fresh()), source.otherThan()];
  asked[1]!.reject(new Error("down"));
  expect((await fresh).message).toBe("no token: down");
  expect(await call).toBe("first");
});

test("an answer that is the refused token again is asked for once more, and no more", async () => {
  const { asked, source } = backend();
  const [first, other] = [source.fresh(), source.otherThan("cached")];
  asked[0]!.resolve("cached");
  expect(await first).toBe("cached");
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toHaveLength(2);
  asked[1]!.resolve("cached");
  expect(await other).toBe("cached");
  expect(asked).toHaveLength(2);
});

test("after a failure the provider is asked again", async () => {
  const { asked, source } = backend();
  const first = failure(source.fresh());
  asked[0]!.reject(new Error("down"));
  await first;
  const second = source.fresh();
  expect(asked).toHaveLength(2);
  asked[1]!.resolve("up");
  expect(await second).toBe("up");
});

test("a provider that throws or rejects is a clear error, which may pass", async () => {
  const cause = new Error("503 from /token");
  const throws = () => {
    throw cause;
  };
  for (const provider of [throws, () => Promise.reject(cause)]) {
    const error = await refusalOf(provider);
    expect(error).toMatchObject({ code: "token_missing", status: 401, retryable: true, cause });
    expect(error.message).toBe("no token: 503 from /token");
  }
  expect((await refusalOf(() => Promise.reject(undefined))).message).toBe("no token: undefined");
  expect((await refusalOf(() => Promise.reject("offline"))).message).toBe("no token: offline");
});

test("a provider that says that asking again is in vain is taken at its word", async () => {
  const signedOut = Object.assign(new Error("signed out"), { permanent: true });
  expect(await refusalOf(() => Promise.reject(signedOut))).toMatchObject({ retryable: false });
  expect(await refusalOf(() => Promise.reject({ message: "signed out", permanent: true }))).toMatchObject({
    retryable: false,
    message: "no token: signed out",
  });
  const perhaps = Object.assign(new Error("down"), { permanent: "maybe" });
  expect(await refusalOf(() => Promise.reject(perhaps))).toMatchObject({ retryable: true });
});

test("a provider that gives no text is a clear error", async () => {
  const given: [answer: unknown, name: string][] = [
    [undefined, "undefined"],
    [null, "object"],
    [{ token: "eyJ" }, "object"],
    [7, "number"],
    ["", "a text that is none"],
  ];
  for (const [answer, name] of given) {
    const error = await refusalOf(async () => answer);
    expect(error).toMatchObject({ code: "token_missing", retryable: true });
    expect(error.message).toBe(`no token: the provider gave ${name}`);
  }
});

test("a text that no header can carry is no token, and is not told", async () => {
  for (const token of ["eyJ\n", "eyJ–x", "a\r\nx-parlour-user: bob", " eyJ"]) {
    const error = await refusalOf(() => token);
    expect(error.message).toBe("no token: the provider gave a text that is none");
  }
});

test("there is nobody to ask again for a fixed token that is none", async () => {
  for (const fixed of ["", "eyJ\n", undefined]) {
    expect(await refusalOf(fixed)).toMatchObject({ code: "token_missing", retryable: false });
  }
});

test("a provider that never answers is a clear error, and its late answer is not taken", async () => {
  const { asked, source } = backend();
  const outcome = failure(source.fresh());
  await vi.advanceTimersByTimeAsync(999);
  expect(vi.getTimerCount()).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  const error = await outcome;
  expect(error).toMatchObject({ code: "token_missing", retryable: true });
  expect(error.message).toBe("no token: no answer from the token provider within 1000 ms");
  asked[0]!.resolve("late");
  await vi.advanceTimersByTimeAsync(0);
  void source.otherThan();
  await vi.advanceTimersByTimeAsync(0);
  expect(asked).toHaveLength(2);
});

test("an error has a link that can be opened, and what a log shows of a source has no token", async () => {
  const source = new TokenSource(() => "eyJ.secret", ENDPOINT);
  await source.fresh();
  expect(JSON.stringify(source) + Object.keys(source).join()).not.toContain("eyJ");
  const error = await failure(new TokenSource("", endpointOf({ url: "https://a", appKey: "dev" })).fresh());
  expect(error.docs).toBe("https://a/docs/errors/token_missing");
});
