/** What the tests play on: two nodes of `roomcast serve`, with tenants, sockets and traffic. */

import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";

const ROOT = process.env.ROOMCAST_ROOT ?? fileURLToPath(new URL("../..", import.meta.url));
const PYTHON = process.env.ROOMCAST_PYTHON ?? join(ROOT, ".venv/bin/python");

export class Stage {
  /** Start the nodes, with a folder of their own. */
  static async start() {
    const folder = mkdtempSync(join(tmpdir(), "rcc"));
    const env = { ...process.env, ROOMCAST_DATA_DIR: folder, ROOMCAST_CONNECTS_PER_SECOND_PER_ADDRESS: "none" };
    const args = ["-m", "service", "serve", "--port", "0", "--workers", "2"];
    const serve = spawn(PYTHON, args, { cwd: ROOT, env, stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    serve.stderr.on("data", (text) => {
      log = (log + text).slice(-20_000);
    });
    for await (const line of createInterface({ input: serve.stdout })) {
      const found = /http:\/\/[\d.]+:\d+/.exec(line);
      if (found) return new Stage(found[0], folder, serve, () => log);
    }
    throw new Error(`roomcast serve did not start\n${log}`);
  }

  constructor(address, folder, serve, log) {
    Object.assign(this, { address, folder, serve, log, sockets: [], timers: [] });
    this.operator = readFileSync(join(folder, "operator-token"), "utf8").trim();
  }

  async ask(bearer, method, path, body) {
    const headers = { Authorization: `Bearer ${bearer}`, ...(body && { "Content-Type": "application/json" }) };
    const answer = await fetch(this.address + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** A tenant, and the API key of all scopes. */
  async tenant(name, limits = {}) {
    const made = await this.ask(this.operator, "POST", "/v1/tenants", { name, limits });
    return made.api_key;
  }

  /** A socket of a user, when it is open; `said` gets each event. */
  async socket(key, user, claims = {}, said = () => {}) {
    const { token } = await this.ask(key, "POST", "/v1/tokens", { user, rooms: { "*": ["*"] }, ...claims });
    const socket = new WebSocket(`${this.address.replace("http", "ws")}/v1/connect`, ["roomcast.v1.json"], {
      headers: { Authorization: `Bearer ${token}` },
      perMessageDeflate: false,
    });
    this.sockets.push(socket);
    socket.on("message", (data) => said(JSON.parse(data)));
    socket.on("error", () => {});
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    return { say: (command) => socket.send(JSON.stringify(command)), end: () => socket.close() };
  }

  every(ms, act) {
    this.timers.push(setInterval(act, ms));
  }

  async end() {
    for (const timer of this.timers) clearInterval(timer);
    for (const socket of this.sockets) socket.terminate();
    this.serve.kill("SIGTERM");
    setTimeout(() => this.serve.kill("SIGTERM"), 500);
    await new Promise((resolve) => (this.serve.exitCode === null ? this.serve.once("exit", resolve) : resolve()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const SAID = {
  type: "object",
  title: "What somebody said",
  properties: {
    text: { type: "string", minLength: 1, maxLength: 2000, description: "Markdown" },
    mood: { enum: ["glad", "sad"] },
    links: { type: "array", items: { type: "string", format: "uri" } },
  },
  required: ["text"],
  additionalProperties: false,
};

/** A tenant that looks as in life: a contract, rooms, people in them, and talk. */
export async function furnish(stage) {
  const key = await stage.tenant("acme", { max_connections: 60 });
  await stage.tenant("globex");
  await stage.tenant("initech");
  await stage.ask(stage.operator, "POST", "/v1/tenants/initech/suspend");
  const contract = (messages) => ({
    room_types: { chat: { pattern: "chat:*", history_messages: 100, messages, signals: { typing: { type: "boolean" } } } },
  });
  await stage.ask(key, "PUT", "/v1/contract", contract({ said: SAID }));
  await stage.ask(key, "PUT", "/v1/contract", contract({ said: SAID, left: { type: "object" } }));
  await stage.ask(key, "POST", "/v1/keys", { name: "billing", scopes: ["read"] });
  const people = ["alice", "bob", "carol", "dave", "erin"];
  for (const [index, user] of people.entries()) {
    const rooms = ["chat:lobby", ...Array.from({ length: 30 }, (_, number) => `chat:${30 * index + number}`)];
    const socket = await stage.socket(key, user, { info: { plan: index % 2 ? "free" : "pro" } });
    for (const room of rooms) socket.say({ type: "join", room });
    socket.say({ type: "set_state", room: "chat:lobby", state: { typing: false, mood: "glad" } });
    const talk = () => socket.say({ type: "publish", room: "chat:lobby", name: "said", data: { text: `hello from ${user}` } });
    stage.every(180 + 60 * index, talk);
  }
  stage.every(900, () => stage.ask(key, "POST", "/v1/rooms/chat:lobby/messages", { name: "said", data: {} }).catch(() => {}));
  return key;
}
