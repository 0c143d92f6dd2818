import { afterAll, beforeAll, expect, it } from "vitest";

import type { ExportLine, ServerClient, Task } from "../../src/server.js";
import { TestServer } from "./kit.js";

let server: TestServer;
let backend: ServerClient;

beforeAll(async () => {
  server = await TestServer.start();
  backend = server.backend;
  await backend.upsertUsers([{ id: "ann", name: "Ann", age: 9 }, { id: "ben", age: 7 }]);
});
afterAll(() => server.end());

/** Asks how far a task is until it is at its end. */
async function finished({ id }: Task): Promise<Task> {
  for (;;) {
    const task = await backend.task(id);
    if (task.finished_at) return task;
  }
}

it("finds users by filter, in order, page by page (F2.15) (F2.16) (F2.17) (F2.19)", async () => {
  const query = { filter: { "custom.age": { $gt: 1 } }, sort: [{ field: "custom.age", direction: 1 }], limit: 1 };
  const first = await backend.queryUsers(query);
  const second = await backend.queryUsers({ ...query, next: first.next! });
  expect([...first.users, ...second.users].map(({ id }) => id)).toEqual(["ben", "ann"]);
  expect(second.next).toBeUndefined();
  await expect(backend.queryUsers({ filter: { $where: "1" } })).rejects.toMatchObject({ code: "unsupported_filter" });
});

it("deactivates, reactivates, deletes and restores (F2.20) (F2.21) (F2.22) (F2.25)", async () => {
  const ben = backend.asUser("ben");
  expect(await backend.deactivateUser("ben")).toHaveProperty("deactivated_at");
  await expect(ben.me()).rejects.toMatchObject({ code: "user_deactivated", status: 403 });
  expect(await backend.reactivateUser("ben")).not.toHaveProperty("deactivated_at");
  const task = await finished(await backend.deleteUser("ben"));
  expect(task).toMatchObject({ kind: "user.delete", status: "completed", progress: { percent: 100 } });
  await expect(ben.me()).rejects.toMatchObject({ code: "user_deleted" });
  expect(await backend.restoreUser("ben")).not.toHaveProperty("deleted_at");
});

it("registers devices and removes them (F2.37)", async () => {
  const ann = backend.asUser("ann");
  const keys = { p256dh: "BPk_-x", auth: "a1_" };
  const device = await ann.registerDevice({ id: "https://push.example/a?b&c", provider: "webpush", keys });
  expect(await ann.devices()).toEqual([device]);
  expect((await ann.me())?.devices).toEqual([device]);
  await ann.removeDevice(device.id);
  expect(await ann.devices()).toEqual([]);
});

it("gives an export line by line (F2.24) (F2.26)", async () => {
  const general = backend.asUser("ann").channel("messaging", "exported");
  await general.getOrCreate({ members: ["ben"] });
  for (const text of ["one\n", "zwö", "три"]) await general.send(text);
  const { id } = await finished(await backend.exportUser("ann"));
  const lines: ExportLine[] = [];
  for await (const line of backend.exported(id)) lines.push(line);
  expect(lines.map(({ type }) => type)).toEqual(["user", "membership", "read", "message", "message", "message"]);
  expect(lines.flatMap((line) => (line.type === "message" ? [line.message.text] : []))).toEqual(["one\n", "zwö", "три"]);
  await expect(backend.exported("never").next()).rejects.toMatchObject({ code: "not_found" });
});
