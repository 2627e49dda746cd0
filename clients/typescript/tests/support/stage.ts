import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type ClientOptions, createClient, type GetToken } from "../../src/index.js";
import type { Contract } from "../contract.js";
import { NodeWebSocket } from "./client.js";

const root = fileURLToPath(new URL("../../../..", import.meta.url));
const venv = `${root}/.venv/bin/python`;
const python = process.env.ROOMCAST_PYTHON ?? (existsSync(venv) ? venv : "python3");

/** A live node behind a network that fails when told to: tests/clients/stage.py, orders in clients/vectors/README.md. */
export class Stage {
  readonly #process: ChildProcess;
  readonly #places: { url: string; api: string; control: string; api_key: string };

  private constructor(process: ChildProcess, places: Stage["places"]) {
    this.#process = process;
    this.#places = places;
  }

  get places() {
    return this.#places;
  }

  static async open(): Promise<Stage> {
    const process = spawn(python, ["-m", "tests.clients.stage"], { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
    const [line] = await once(createInterface(process.stdout), "line");
    return new Stage(process, JSON.parse(line));
  }

  async close(): Promise<void> {
    this.#process.stdin?.end();
    await once(this.#process, "exit");
  }

  // biome-ignore lint/suspicious/noExplicitAny: each order has its own answer
  async order(name: string, body: object = {}): Promise<any> {
    const answer = await fetch(`${this.#places.control}/${name}`, { method: "POST", body: JSON.stringify(body) });
    const result = await answer.json();
    if (!answer.ok) throw new Error(`${name}: ${result.error}`);
    return result;
  }

  token(user: string, claims: object = {}): Promise<string> {
    return this.order("token", { user, ...claims }).then(({ token }) => token);
  }

  /** As the tenant's server does, past the network: all of them in one batch. */
  async publish(room: string, ...data: unknown[]): Promise<void> {
    const answer = await fetch(`${this.#places.api}/v1/messages`, {
      method: "POST",
      headers: { Authorization: `Bearer ${this.#places.api_key}`, "Content-Type": "application/json" },
      body: JSON.stringify({ messages: data.map((item) => ({ room, name: "said", data: item })) }),
    });
    const text = await answer.text();
    if (answer.status !== 200 || text.includes("problem")) throw new Error(text);
  }

  client(user: string, options: Partial<ClientOptions> = {}) {
    const getToken: GetToken = () => this.token(user);
    const backoff = { initial: 100, max: 1_000 };
    return createClient<Contract>({ url: this.#places.url, getToken, backoff, WebSocket: NodeWebSocket, ...options });
  }
}
