/** The client and a live node, through the faults that both clients of Roomcast have to get through. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client, ClientOptions, Gap, Room, TokenReason } from "../src/index.js";
import type { Contract } from "./contract.js";
import { Stage } from "./support/stage.js";

type Chat = Room<Contract["chat:*"]>;

let stage: Stage;
const clients: Client<Contract>[] = [];

before(async () => {
  stage = await Stage.open();
});
after(async () => {
  for (const client of clients) client.close();
  await stage.close();
});

/** Someone in a room, with all that is seen there: texts of messages, and gaps. */
async function enter(user: string, name: `chat:${string}`, options: Partial<ClientOptions> = {}) {
  const client = stage.client(user, options);
  clients.push(client);
  const room = client.room(name);
  const seen: string[] = [];
  const gaps: Gap[] = [];
  room.on("message:said", ({ data }) => seen.push(data.text));
  room.on("gap", (gap) => gaps.push(gap));
  await comes(() => room.status === "joined");
  return { client, room, seen, gaps };
}

async function comes(look: () => boolean, withinMs = 20_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!look()) {
    assert(Date.now() < deadline, "it did not come to be");
    await sleep(10);
  }
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `${index}`);

async function publishAll(room: Chat, texts: string[], everyMs = 0): Promise<void> {
  const answers: Promise<unknown>[] = [];
  for (const text of texts) {
    answers.push(room.publish("said", { text }));
    await sleep(everyMs);
  }
  await Promise.all(answers);
}

for (const how of ["restart", "leave", "kill"]) {
  test(`a server that ends (${how}) and comes back loses nothing and doubles nothing`, async () => {
    const alice = await enter("alice", `chat:${how}`);
    const bob = await enter("bob", `chat:${how}`);
    const published = publishAll(alice.room, numbered(60), 20);
    await sleep(300);
    await stage.order("restart", { how });
    await published;
    await comes(() => bob.seen.length >= 60 && alice.seen.length >= 60);
    assert.deepEqual(bob.seen, numbered(60));
    assert.deepEqual(alice.seen, numbered(60));
    assert.deepEqual(bob.gaps, []);
  });
}

test("a token that ends while the device sleeps is replaced, and nothing is lost", async () => {
  const reasons: TokenReason[] = [];
  const getToken = (reason: TokenReason) => {
    reasons.push(reason);
    return stage.token("alice", { ttl_seconds: reasons.length === 1 ? 3 : 3_600 });
  };
  // Asleep: neither the `expiring` nor its answer gets through before the token has ended.
  const waiting = enter("alice", "chat:sleep", { getToken });
  const alice = await waiting;
  await stage.order("silence", { seconds: 4 });
  await stage.publish("chat:sleep", { text: "missed" });
  await comes(() => alice.seen.length > 0);
  assert.deepEqual(alice.seen, ["missed"]);
  assert.deepEqual(alice.gaps, []);
  assert(reasons.length >= 2);
});

test("a token is refreshed before it ends, on the same connection", async () => {
  let calls = 0;
  const getToken = () => stage.token("alice", { ttl_seconds: ++calls === 1 ? 3 : 3_600 });
  const alice = await enter("alice", "chat:refresh", { getToken });
  const connection = alice.client.welcome?.connection;
  await sleep(4_000);
  assert.equal(alice.client.welcome?.connection, connection);
  assert.equal(alice.room.status, "joined");
});

test("what the history has no more is a gap, and the room goes on", async () => {
  await stage.order("room_type", { name: "short", pattern: "chat:short*", history_messages: 5 });
  const alice = await enter("alice", "chat:short");
  await stage.publish("chat:short", { text: "first" });
  await comes(() => alice.seen.length === 1);
  await stage.order("cut", { down_seconds: 1.5 });
  await stage.publish("chat:short", ...numbered(500).map((text) => ({ text })));
  await comes(() => alice.room.status === "joined" && alice.gaps.length > 0);
  assert.equal(alice.gaps[0]?.reason, "expired");
  assert.equal(alice.gaps[0]?.to, alice.room.position);
  await stage.publish("chat:short", { text: "after" });
  await comes(() => alice.seen.length === 2);
  assert.deepEqual(alice.seen, ["first", "after"]);
});

test("an emptied Redis is a new epoch, said by a gap", async () => {
  const alice = await enter("alice", "chat:emptied");
  await stage.publish("chat:emptied", { text: "before" });
  await comes(() => alice.seen.length === 1);
  await stage.order("empty");
  await stage.publish("chat:emptied", { text: "after" });
  await comes(() => alice.seen.length === 2 && alice.gaps.length > 0);
  assert.equal(alice.gaps[0]?.reason, "epoch");
});

test("a slow consumer is closed, comes back and loses nothing", { timeout: 60_000 }, async () => {
  await stage.order("room_type", { name: "long", pattern: "chat:long*", history_messages: 1_000 });
  const alice = await enter("alice", "chat:long");
  const connection = alice.client.welcome?.connection;
  await stage.order("stall", { seconds: 4 });
  const filling = "x".repeat(60_000);
  const texts = numbered(240);
  for (const text of texts) await stage.publish("chat:long", { text, filling });
  await comes(() => alice.seen.length >= texts.length, 40_000);
  assert.deepEqual(alice.seen, texts);
  assert.deepEqual(alice.gaps, []);
  assert.notEqual(alice.client.welcome?.connection, connection);
});

test("a revoked signing key costs a new token and no message", async () => {
  const reasons: TokenReason[] = [];
  const getToken = (reason: TokenReason) => {
    reasons.push(reason);
    return stage.token("alice");
  };
  const alice = await enter("alice", "chat:revoked", { getToken });
  await stage.order("revoke");
  await comes(() => alice.client.status !== "connected");
  await stage.publish("chat:revoked", { text: "missed" });
  await comes(() => alice.seen.length === 1);
  assert.deepEqual(reasons, ["connect", "rejected"]);
});

test("a network that is cut in the middle of publishes makes each one message", async () => {
  const alice = await enter("alice", "chat:cut");
  const bob = await enter("bob", "chat:cut");
  const published = publishAll(alice.room, numbered(60), 20);
  for (const count of [3, 5, 1]) {
    await stage.order("lose_answers", { count, of: "publish" });
    await sleep(300);
    await stage.order("cut");
  }
  await published;
  await comes(() => bob.seen.length >= 60 && alice.seen.length >= 60);
  assert.deepEqual(bob.seen, numbered(60));
  assert.deepEqual(alice.seen, numbered(60));
});

test("presence is true after a cut", async () => {
  const alice = await enter("alice", "chat:presence");
  const bob = await enter("bob", "chat:presence");
  const users = () => alice.room.presence.members.map(({ user }) => user).sort();
  alice.room.presence.subscribe(() => {});
  await comes(() => users().join() === "alice,bob");
  await bob.room.presence.set({ away: true });
  await stage.order("cut");
  await comes(() => bob.room.status === "joined" && alice.room.status === "joined");
  await comes(() => users().join() === "alice,bob");
  await comes(() => alice.room.presence.members.find(({ user }) => user === "bob")?.state?.away === true);
  bob.client.close();
  await comes(() => users().join() === "alice");
});

test("what does not fit the contract is refused with its path", async () => {
  const schema = { type: "object", properties: { text: { type: "string" } }, required: ["text"] };
  const chat = { pattern: "typed:*", messages: { said: schema }, signals: {} };
  const { status, body } = await stage.order("contract", { room_types: { typed: chat } });
  assert.equal(status, 200, JSON.stringify(body));
  const client = stage.client("alice");
  clients.push(client);
  const error = await client
    .room("typed:1", { join: false })
    .publish("said", { text: 1 })
    .catch((error) => error);
  assert.equal(error.code, "schema");
  assert.equal(error.path, "$.data.text");
});
