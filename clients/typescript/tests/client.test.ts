import assert from "node:assert/strict";
import { test } from "node:test";
import type { Gap, MessageOf, RoomcastError, UntypedRoom } from "../src/index.js";
import { pair, until } from "./support/client.js";
import { type Frame, joined, WELCOME } from "./support/scripted_server.js";

const message = (offset: number, data: unknown = offset): Frame => ({
  type: "message",
  room: "chat",
  offset,
  name: "said",
  data,
  time_ms: 1,
  from: null,
});

const codeOf = (error: unknown): string => (error as RoomcastError).code;

test("what the token's claim `join` brings does not count until the client's own join is answered", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat");
  const seen: unknown[] = [];
  room.on("message", ({ data }) => seen.push(data));
  const first = await accept();
  first.send(joined(await first.next(), { position: "e:5" }));
  await until(() => room.status === "joined");
  first.drop();

  const second = await accept();
  second.send(joined({ room: "chat" }, { position: "e:7" }));
  second.send(message(8));
  const join = await second.next();
  assert.equal(join?.since, "e:5");
  second.send(joined(join, { position: "e:8" }));
  for (const offset of [6, 7, 8, 9]) second.send(message(offset));
  await until(() => seen.length === 4);
  assert.deepEqual(seen, [6, 7, 8, 9]);
  assert.equal(room.position, "e:9");
});

test("rooms join first, then what waits is sent in its old order", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat");
  for (const data of [1, 2]) room.publish("said", data).catch(() => {});
  const first = await accept();
  await first.next();
  await first.next();
  first.drop();
  room.publish("said", 3).catch(() => {});
  const second = await accept();
  const commands = [await second.next(), await second.next(), await second.next(), await second.next()];
  assert.deepEqual(
    commands.map((command) => command?.data ?? command?.type),
    ["join", 1, 2, 3],
  );
});

test("a frame that is too large is refused here, since the server would close for good", async (context) => {
  const { client, accept } = await pair(context);
  const outcome = client.room("chat", { join: false }).publish("said", "é".repeat(40_000)).catch(codeOf);
  const socket = await accept();
  assert.equal(await outcome, "too_large");
  assert.equal(await socket.next(20), null);
  assert.equal(client.status, "connected");
});

test("a queue is bounded in bytes, too", async (context) => {
  const { client } = await pair(context, { offlineQueue: { bytes: 1_000 } });
  const room = client.room("chat", { join: false });
  room.publish("said", "x".repeat(700)).catch(() => {});
  assert.equal(await room.publish("said", "x".repeat(700)).catch(codeOf), "queue_full");
});

test("a publish of unknown outcome is given up before the server forgets its key", async (context) => {
  const { client, accept } = await pair(context);
  const outcome = client.room("chat", { join: false }).publish("said", 1).catch(codeOf);
  const first = await accept();
  await first.next();
  context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 271_000 });
  first.drop();
  const second = await accept();
  assert.equal(await outcome, "outcome_unknown");
  assert.equal(await second.next(20), null);
});

test("what was never sent is sent after any time", async (context) => {
  const { client, server, accept } = await pair(context);
  const room = client.room("chat", { join: false });
  const outcome = room.publish("said", 1);
  const refused = await server.accept();
  refused?.drop();
  context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 3_600_000 });
  const socket = await accept();
  const command = await socket.next();
  socket.send({ type: "published", id: command?.id, room: "chat", position: null, duplicate: false });
  assert.deepEqual(await outcome, { position: null, duplicate: false });
});

test("a connection that answers nothing is replaced", async (context) => {
  const { client, accept } = await pair(context, { ackTimeout: 40 });
  const outcome = client.room("chat", { join: false }).publish("said", 1);
  const first = await accept();
  const [sent, again] = [await first.next(), await first.next()];
  assert.equal(sent?.key, again?.key);
  const second = await accept();
  const repeated = await second.next();
  assert.equal(repeated?.key, sent?.key);
  second.send({ type: "published", id: repeated?.id, room: "chat", position: "e:1", duplicate: true });
  assert.deepEqual(await outcome, { position: "e:1", duplicate: true });
});

test("rejoining a room without history tells that messages may be lost", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("live");
  const gaps: Gap[] = [];
  room.on("gap", (gap) => gaps.push(gap));
  for (const round of [0, 1]) {
    const socket = await accept();
    socket.send(joined(await socket.next(), { position: null }));
    await until(() => room.status === "joined" && gaps.length === round);
    if (round === 0) socket.drop();
  }
  assert.deepEqual(gaps, [{ type: "gap", room: "live", from: null, to: null, reason: "unstored" }]);
});

test("without `recover` a room begins at its head after a break", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat", { recover: false });
  const first = await accept();
  first.send(joined(await first.next(), { position: "e:5" }));
  await until(() => room.status === "joined");
  first.drop();
  const second = await accept();
  assert.equal((await second.next())?.since, undefined);
});

test("a session may begin where an earlier one ended", async (context) => {
  const { client, accept } = await pair(context);
  client.room("chat", { since: "e:41" });
  const socket = await accept();
  assert.equal((await socket.next())?.since, "e:41");
});

test("a stream gives messages and gaps in order, and ends with the room", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat");
  const stream = room.stream();
  const socket = await accept();
  socket.send(joined(await socket.next()));
  socket.send(message(1));
  socket.send({ type: "gap", room: "chat", from: "e:1", to: "e:4", reason: "slow" });
  socket.send(message(5));
  const seen: unknown[] = [];
  for await (const item of stream as AsyncIterable<MessageOf<UntypedRoom> | Gap>) {
    seen.push(item.type === "gap" ? item.reason : item.position);
    if (seen.length === 3) room.leave();
  }
  assert.deepEqual(seen, ["e:1", "slow", "e:5"]);
});

test("a reader that falls behind is told, after what was kept for it", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat");
  const stream = room.stream({ limit: 2 });
  const socket = await accept();
  socket.send(joined(await socket.next()));
  for (const offset of [1, 2, 3]) socket.send(message(offset));
  await until(() => room.position === "e:3");
  assert.equal((await stream.next()).value?.type, "message");
  await stream.next();
  assert.equal(await stream.next().catch(codeOf), "behind");
  assert.equal((await stream.next()).done, true);
});

test("handlers by name hear only that name, and one that throws keeps nobody from hearing", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat");
  const seen: unknown[] = [];
  const later = context.mock.method(globalThis, "queueMicrotask", () => {});
  room.on("message:said", () => {
    throw new Error("the application's");
  });
  room.on("message:said", ({ name }) => seen.push(name));
  room.on("signal:typing", ({ data }) => seen.push(data));
  room.on("message:other", () => seen.push("never"));
  const socket = await accept();
  socket.send(joined(await socket.next()));
  socket.send(message(1));
  socket.send({ type: "signal", room: "chat", name: "typing", data: true, from: { user: "bob", connection: "c" } });
  await until(() => seen.length === 2);
  assert.deepEqual(seen, ["said", true]);
  assert.throws(later.mock.calls[0]?.arguments[0] as () => void, /the application's/);
});

test("history is a page of messages with their positions", async (context) => {
  const { client, accept } = await pair(context);
  const page = client.room("chat", { join: false }).history({ before: "e:9", limit: 1 });
  const socket = await accept();
  const command = await socket.next();
  assert.deepEqual([command?.before, command?.limit], ["e:9", 1]);
  const item = { offset: 8, name: "said", data: 8, time_ms: 1, from: null };
  socket.send({
    type: "history",
    id: command?.id,
    room: "chat",
    messages: [item],
    position: "e:9",
    more: true,
    complete: true,
  });
  assert.deepEqual(await page, {
    messages: [{ ...item, type: "message", room: "chat", position: "e:8" }],
    position: "e:9",
    more: true,
    complete: true,
  });
});

test("subscribing to presence watches the room, and the whole list is paged", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat");
  const socket = await accept();
  socket.send(joined(await socket.next()));
  await until(() => room.status === "joined");
  room.presence.subscribe(() => {});
  const watch = await socket.next();
  assert.deepEqual([watch?.type, watch?.watch, watch?.since], ["join", true, "e:0"]);
  const member = (connection: string) => ({ user: connection, connection, joined_at_ms: 1 });
  socket.send(joined(watch, { members: [member("a")], occupancy: { connections: 3, users: 3 } }));
  for (const [cursor, connection, next] of [
    [undefined, "b", "page 2"],
    ["page 2", "c", undefined],
  ]) {
    const command = await socket.next();
    assert.deepEqual([command?.type, command?.cursor], ["members", cursor]);
    const occupancy = { connections: 3, users: 3 };
    const members = [member(connection as string)];
    socket.send({
      type: "members",
      id: command?.id,
      room: "chat",
      members,
      occupancy,
      ...(next && { next_cursor: next }),
    });
  }
  await until(() => room.presence.members.length === 3);
});

test("a state that is set while a join is under way is sent after it", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat", { state: 1 });
  const socket = await accept();
  const join = await socket.next();
  const set = room.presence.set(2);
  socket.send(joined(join));
  const command = await socket.next();
  assert.deepEqual([command?.type, command?.state], ["set_state", 2]);
  socket.send({ type: "state_set", id: command?.id, room: "chat" });
  await set;
});

test("a token that can not be had is asked for again, and said", async (context) => {
  let calls = 0;
  const getToken = () => {
    if (++calls === 1) throw new Error("no login");
    return "t2";
  };
  const { client, server } = await pair(context, { getToken });
  const errors: unknown[] = [];
  client.on("error", (error) => errors.push(error));
  client.connect();
  assert.equal((await server.accept())?.token, "t2");
  assert.equal((errors[0] as Error).message, "no login");
});

test("a new token may open what an old one did not", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat");
  const socket = await accept();
  socket.send({ type: "error", id: (await socket.next())?.id, room: "chat", code: "forbidden", message: "no right" });
  await until(() => room.status === "left");
  assert.equal(room.error?.code, "forbidden");
  const refreshed = client.refreshToken();
  const command = await socket.next();
  assert.equal(command?.type, "authenticate");
  socket.send({ type: "authenticated", id: command?.id, expires_at_ms: 1 });
  await refreshed;
  assert.equal((await socket.next())?.type, "join");
});

test("signals are sent only where the room is joined", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat");
  assert.equal(room.signal("typing", true), false);
  const socket = await accept();
  socket.send(joined(await socket.next()));
  await until(() => room.status === "joined");
  assert.equal(room.signal("typing", true), true);
  assert.equal(room.signal("typing", "é".repeat(40_000)), false); // its frame would be the connection's end
  assert.deepEqual(await socket.next(), { type: "signal", room: "chat", data: true, name: "typing" });
});

test("a closed client refuses what waits, and can be connected again", async (context) => {
  const { client, accept } = await pair(context);
  const room = client.room("chat");
  const outcome = room.publish("said", 1).catch(codeOf);
  await accept();
  client.close();
  assert.equal(await outcome, "closed");
  assert.equal(room.status, "left");
  assert.equal(await room.publish("said", 2).catch(codeOf), "closed");
  client.connect();
  room.join();
  const socket = await accept();
  assert.equal((await socket.next())?.type, "join");
});

test("a close that `closing` promised and that never comes is not waited for", { timeout: 9_000 }, async (context) => {
  const { client, server, accept } = await pair(context);
  client.connect();
  const socket = await accept({ ...WELCOME });
  socket.send({ type: "closing", code: 1012, reason: "restart", reconnect: true, after_ms: 0 });
  assert(await server.accept(5_000));
});
