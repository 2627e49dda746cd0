import assert from "node:assert/strict";
import { test } from "node:test";
import { pair, until } from "./support/client.js";
import { vectors } from "./support/vectors.js";

for (const { code, does, closing } of vectors("closes")) {
  const told = closing ? `, told to come back: ${closing.reconnect}` : "";
  test(`after close ${code}${told}, the client does: ${does}`, async (context) => {
    const reasons: string[] = [];
    const getToken = (reason: string) => {
      reasons.push(reason);
      return `t${reasons.length}`;
    };
    const { server, client, accept } = await pair(context, { getToken });
    client.connect();
    const socket = await accept();
    if (closing) socket.send({ type: "closing", code, reason: "a test", ...closing });
    const closedAt = Date.now();
    if (code === null) socket.drop();
    else socket.close(code);
    if (does === "stop") {
      await until(() => client.status === "closed");
      assert.equal(client.error?.code, "closed");
      assert.equal(await server.accept(50), null);
    } else {
      const next = await server.accept();
      assert.equal(next?.token, "t2");
      assert(Date.now() - closedAt >= (closing?.after_ms ?? 0) - 2, "it came before `after_ms`");
      assert.equal(reasons[1], does === "reconnect_with_new_token" ? "rejected" : "connect");
    }
  });
}
