import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("..", import.meta.url));

const run = (folder: string, command: string, ...options: string[]) =>
  execFileSync(command, options, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

const PROGRAM = `
import { createClient, RoomcastError } from "@roomcast/client";
const client = createClient({ url: "ws://127.0.0.1:1", getToken: () => "t", WebSocket: class { close() {} send() {} } });
const outcome = client.room("chat:1").publish("said", { text: "hello" });
client.close();
console.log(await outcome.catch((error) => error instanceof RoomcastError && error.code));
`;

const TYPED = `
import { createClient } from "@roomcast/client";
import { useMessages, useRoom } from "@roomcast/client/react";
import type { Contract } from "./contract.js";

declare module "@roomcast/client" {
  interface Register {
    contract: Contract;
  }
}

export function Chat() {
  const room = useRoom("chat:1");
  const { messages } = useMessages(room);
  room.publish("said", { text: "hello" });
  // @ts-expect-error: a wrong field
  room.publish("said", { txt: "hello" });
  for (const message of messages) if (message.name === "said") message.data.text.trim();
}
// @ts-expect-error: a wrong type
createClient({ url: "", getToken: () => "" }).room("chat:1").publish("said", { text: 1 });
`;

test("the package installs into an empty folder and works there, in types too", { timeout: 120_000 }, (context) => {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const [{ filename, files }] = JSON.parse(run(project, "npm", "pack", "--json", "--pack-destination", folder));
  const paths = files.map((file: { path: string }) => file.path);
  assert(
    paths.every((path: string) => /^(dist\/|package.json|README.md|LICENSE)/.test(path)),
    paths.join(),
  );

  const application = join(folder, "application");
  mkdirSync(application);
  writeFileSync(join(application, "package.json"), '{"type": "module", "private": true}');
  run(application, "npm", "install", "--offline", "--no-audit", join(folder, filename));
  writeFileSync(join(application, "program.js"), PROGRAM);
  assert.equal(run(application, "node", "program.js").trim(), "closed");

  const own = join(project, "node_modules");
  mkdirSync(join(application, "node_modules/@types"));
  symlinkSync(join(own, "@types/react"), join(application, "node_modules/@types/react"));
  symlinkSync(join(own, "csstype"), join(application, "node_modules/csstype"));
  writeFileSync(join(application, "typed.ts"), TYPED);
  run(project, "cp", "tests/contract.ts", join(application, "contract.ts"));
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom"];
  run(application, join(own, ".bin/tsc"), ...options, "typed.ts");
});
