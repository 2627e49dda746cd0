import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { type Client, createClient, type Room, type SocketConstructor } from "../../src/index.js";
import { type Frame, ScriptedServer, type ServerSocket } from "./scripted_server.js";

// biome-ignore lint/suspicious/noExplicitAny: a step of scenes.json is what clients/vectors/README.md says
type Step = Record<string, any>;
type Outcome = { value: Frame } | { error: Frame };

const REFUSALS: Record<number, [code: number, reconnect: boolean]> = {
  401: [4401, true],
  403: [4403, false],
  429: [4429, true],
  503: [1013, true],
};
const STATUSES: Record<string, string[]> = {
  online: ["connected"],
  offline: ["waiting", "connecting"],
  closed: ["closed"],
};
const SEEN = ["message", "signal", "presence", "occupancy", "gap", "left"] as const;

/** Plays a scene of clients/vectors/scenes.json with the real client. */
export class Player {
  readonly #server: ScriptedServer;
  readonly #client: Client<{}>;
  readonly #welcome: Frame;
  readonly #rooms = new Map<string, Room>();
  readonly #seen: unknown[] = [];
  readonly #outcomes = new Map<string, Promise<Outcome>>();
  readonly #bound = new Map<string, unknown>();
  #socket!: ServerSocket;
  #steppedAt = Date.now();

  constructor(server: ScriptedServer, welcome: Frame, options: Frame = {}) {
    this.#server = server;
    this.#welcome = welcome;
    let tokens = 0;
    this.#client = createClient<{}>({
      url: server.url,
      getToken: () => `t${++tokens}`,
      backoff: { initial: 10, max: 20 },
      WebSocket: WebSocket as unknown as SocketConstructor,
      ...(options.ack_timeout_ms !== undefined && { ackTimeout: options.ack_timeout_ms as number }),
      ...(options.offline_queue !== undefined && { offlineQueue: { messages: options.offline_queue as number } }),
    });
  }

  static async play(scene: Step, welcome: Frame): Promise<void> {
    const server = await new ScriptedServer().start();
    const player = new Player(server, welcome, scene.options);
    try {
      player.#client.connect();
      for (const [index, step] of scene.steps.entries()) {
        await player.#take(step).catch((error: Error) => {
          error.message = `step ${index}, ${JSON.stringify(step)}: ${error.message}`;
          throw error;
        });
        player.#steppedAt = Date.now();
      }
    } finally {
      player.#client.close();
      server.stop();
    }
  }

  async #take(step: Step): Promise<void> {
    if (step.accept) await this.#accept(step.accept, step.after_ms);
    else if (step.refuse) await this.#refuse(step.refuse, step.token);
    else if (step.client_sends) await this.#expect(step.client_sends, step.after_ms);
    else if (step.client_sends_nothing) assert.equal(await this.#socket.next(100), null);
    else if (step.server_sends) this.#socket.send(this.#filled(step.server_sends));
    else if (step.close) this.#socket.close(step.close);
    else if (step.drop) this.#socket.drop();
    else if (step.do) this.#do(step.do, step.as ?? step.do.as);
    else if (step.resolves) await this.#resolves(step.resolves, step.with);
    else if (step.rejects) await this.#rejects(step.rejects, step.with);
    else if (step.client_sees) await this.#sees(step.client_sees);
    else if (step.members_are) await this.#becomes(() => this.#members(), [...step.members_are].sort());
    else if (step.client_is) await this.#becomes(() => STATUSES[step.client_is]?.includes(this.#client.status), true);
    else assert.fail("a step that this player does not know");
  }

  async #accept({ token }: Frame, afterMs = 0): Promise<void> {
    await this.#connected(token, afterMs);
    this.#socket.send(this.#welcome);
  }

  async #refuse(status: number, token: unknown): Promise<void> {
    await this.#connected(token);
    const [code, reconnect] = REFUSALS[status] as [number, boolean];
    this.#socket.send({ type: "closing", code, reason: "refused", reconnect, after_ms: 0 });
    this.#socket.close(code);
  }

  async #connected(token: unknown, afterMs = 0): Promise<void> {
    const socket = await this.#server.accept();
    assert(socket, "no connection came");
    assert(Date.now() - this.#steppedAt >= afterMs - 2, "it came too early");
    if (token !== undefined) assert.equal(socket.token, token);
    this.#socket = socket;
  }

  async #expect(pattern: Frame, afterMs = 0): Promise<void> {
    const command = await this.#socket.next();
    assert(command, "no command came");
    assert(Date.now() - this.#steppedAt >= afterMs - 2, "it came too early");
    this.#match(command, pattern);
  }

  #do(order: Step, name: string | undefined): void {
    let end: Promise<unknown> = Promise.resolve({});
    if (order.join) end = this.#join(order.join, order);
    else if (order.leave) this.#room(order.leave).leave();
    else if (order.publish)
      end = this.#room(order.publish.room).publish(order.publish.name ?? null, order.publish.data);
    else if (order.set_state) end = this.#room(order.set_state.room).presence.set(order.set_state.state);
    else assert.fail("an order that this player does not know");
    const outcome = end.then(
      (value) => ({ value: (value ?? {}) as Frame }),
      (error) => ({ error }),
    );
    if (name) this.#outcomes.set(name, outcome);
  }

  #join(name: string, { watch, state }: Step): Promise<unknown> {
    const room = this.#room(name);
    return new Promise((resolve, reject) => {
      room.on("joined", resolve);
      room.on("error", reject);
      room.join({ ...(watch && { watch }), ...(state !== undefined && { state }) });
    });
  }

  #room(name: string): Room {
    let room = this.#rooms.get(name);
    if (room) return room;
    room = this.#client.room(name, { join: false });
    for (const event of SEEN) room.on(event, (value) => this.#seen.push(value));
    this.#rooms.set(name, room);
    return room;
  }

  async #resolves(name: string, fields: Frame = {}): Promise<void> {
    const outcome = await this.#outcomes.get(name);
    assert(outcome && "value" in outcome, `it failed: ${JSON.stringify(outcome)}`);
    this.#match(outcome.value, fields);
  }

  async #rejects(name: string, fields: Frame = {}): Promise<void> {
    const outcome = await this.#outcomes.get(name);
    assert(outcome && "error" in outcome, "it did not fail");
    this.#match({ ...outcome.error, message: outcome.error.message }, fields);
  }

  async #sees(pattern: Frame): Promise<void> {
    await this.#becomes(() => this.#seen.length > 0, true);
    this.#match(this.#seen.shift(), pattern);
  }

  #members(): string[] {
    return [...this.#rooms.values()].flatMap((room) => room.presence.members.map((member) => member.connection)).sort();
  }

  async #becomes(look: () => unknown, wanted: unknown): Promise<void> {
    const deadline = Date.now() + 5_000;
    while (JSON.stringify(look()) !== JSON.stringify(wanted) && Date.now() < deadline) await sleep(2);
    assert.deepEqual(look(), wanted);
  }

  /** `$name` in a pattern binds what stands there, or is what was bound. */
  #match(actual: unknown, pattern: unknown): void {
    if (typeof pattern === "string" && pattern.startsWith("$")) {
      if (this.#bound.has(pattern)) assert.deepEqual(actual, this.#bound.get(pattern));
      else this.#bound.set(pattern, actual);
    } else if (pattern === null) assert.equal(actual ?? null, null);
    else if (Array.isArray(pattern)) assert.deepEqual(actual, pattern);
    else if (typeof pattern === "object") {
      assert.equal(typeof actual, "object");
      for (const [name, field] of Object.entries(pattern)) this.#match((actual as Frame)[name], field);
    } else assert.deepEqual(actual, pattern);
  }

  #filled(event: unknown): Frame {
    return JSON.parse(JSON.stringify(event), (_name, value) => this.#bound.get(value) ?? value);
  }
}
