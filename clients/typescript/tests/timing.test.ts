import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Backoff } from "../src/backoff.js";
import { Heartbeat } from "../src/heartbeat.js";
import { Pace } from "../src/pace.js";

test("delays have full jitter below a bound that doubles up to the maximum", () => {
  const bounds = [100, 200, 400, 500, 500];
  const tries = Array.from({ length: 500 }, () => {
    const backoff = new Backoff({ initial: 100, max: 500 });
    return bounds.map(() => backoff.next());
  });
  for (const [index, bound] of bounds.entries()) {
    const delays = tries.map((delays) => delays[index] as number);
    assert(Math.max(...delays) <= bound);
    assert(Math.max(...delays) > bound * 0.9);
    assert(Math.min(...delays) < bound * 0.1);
  }
});

/** A heartbeat of a connection with pings each 25 s, by a clock of the test's. */
function heartbeat(context: TestContext) {
  context.mock.timers.enable({ apis: ["setInterval", "Date"], now: 1_000_000 });
  const seen: string[] = [];
  const pulse = { heard: Date.now(), isConnected: true };
  const beat = new Heartbeat({
    interval: () => (pulse.isConnected ? 25_000 : null),
    heardAt: () => pulse.heard,
    ping: () => seen.push("ping"),
    drop: () => seen.push("drop"),
    hurry: () => seen.push("hurry"),
  });
  beat.start();
  context.after(() => beat.stop());
  // All timers of one `tick` see the clock at its end: step by step, as a device that is awake.
  const tick = (ms: number) => {
    for (let passed = 0; passed < ms; passed += 5_000) context.mock.timers.tick(5_000);
  };
  return { seen, pulse, tick, timers: context.mock.timers };
}

test("a connection is asked once for each interval of silence", (context) => {
  const { seen, pulse, tick } = heartbeat(context);
  tick(20_000);
  assert.deepEqual(seen, []);
  tick(5_000);
  assert.deepEqual(seen, ["ping"]);
  pulse.heard = Date.now();
  tick(20_000);
  assert.deepEqual(seen, ["ping"]);
});

test("no connection, no question", (context) => {
  const { seen, pulse, tick } = heartbeat(context);
  pulse.isConnected = false;
  tick(100_000);
  assert.deepEqual(seen, []);
});

test("after a short sleep the connection is asked; after a long one it is given up", (context) => {
  const { seen, pulse, tick, timers } = heartbeat(context);
  timers.setTime(Date.now() + 15_000); // no timer ran meanwhile
  pulse.heard = Date.now();
  tick(5_000);
  assert.deepEqual(seen, ["ping"]);
  seen.length = 0;
  timers.setTime(Date.now() + 3_600_000);
  tick(5_000);
  assert.deepEqual(seen.slice(0, 1), ["drop"]);
});

test("commands keep to the burst and the rate", (context) => {
  context.mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  let calls = 0;
  const pace = new Pace(() => calls++);
  const limits = { commands_per_second: 50, commands_burst: 100 };
  pace.reset({ ...limits, max_frame_bytes: 1, max_message_bytes: 1, max_rooms_per_connection: 1, max_state_bytes: 1 });
  let sent = 0;
  while (pace.spend()) sent++;
  assert.equal(sent, 80);
  context.mock.timers.tick(25);
  assert.equal(calls, 1);
  assert(pace.spend());
  assert(!pace.spend());
});
