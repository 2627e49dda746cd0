import assert from "node:assert/strict";
import { test } from "node:test";
import { RoomcastError } from "../src/index.js";
import { pair } from "./support/client.js";
import { vectors } from "./support/vectors.js";

for (const { code, temporary, frame } of vectors("errors")) {
  test(`a publish that is refused as ${code} is ${temporary ? "repeated" : "refused to who asked"}`, async (context) => {
    const { client, accept } = await pair(context);
    const outcome = client
      .room("chat", { join: false })
      .publish("said", 1)
      .catch((error) => error);
    const socket = await accept();
    const command = await socket.next();
    socket.send({ ...frame, id: command?.id, retry_after_ms: 1 });
    if (temporary) {
      const again = await socket.next();
      assert.equal(again?.key, command?.key);
      socket.send({ type: "published", id: again?.id, room: "chat", position: "e:1", duplicate: false });
      assert.deepEqual(await outcome, { position: "e:1", duplicate: false });
    } else {
      const error = await outcome;
      assert(error instanceof RoomcastError);
      assert.deepEqual([error.code, error.message, error.path], [code, frame.message, frame.path]);
      assert.equal(await socket.next(30), null);
    }
  });
}

test("what is sent at most once is repeated only if it surely did nothing", async (context) => {
  const { client, accept } = await pair(context);
  const sent = client.send("bob", 1);
  const lost = client.send("bob", 2).catch((error) => error.code);
  const socket = await accept();
  const [first, second] = [await socket.next(), await socket.next()];
  socket.send({ type: "error", id: first?.id, code: "rate_limited", message: "slower", retry_after_ms: 1 });
  socket.send({ type: "error", id: second?.id, code: "unavailable", message: "the outcome is unknown" });
  assert.equal(await lost, "unavailable");
  const again = await socket.next();
  assert.equal(again?.data, 1);
  socket.send({ type: "sent", id: again?.id, user: "bob" });
  await sent;
});
