import "./support/dom.js";
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { act, cleanup, render, screen, waitFor } from "@testing-library/react";
import { type ReactNode, StrictMode, useState } from "react";
import type { Client } from "../src/index.js";
import { RealtimeProvider, useClient, useEvent, useMessages, usePresence, useRoom, useStatus } from "../src/react.js";
import type { Contract } from "./contract.js";
import { pair } from "./support/client.js";
import { type Frame, joined, type ServerSocket } from "./support/scripted_server.js";

afterEach(cleanup);

function One() {
  const room = useRoom<"chat:1", Contract>("chat:1");
  return (
    <p>
      {useStatus()} {room.name}
    </p>
  );
}

function Chat() {
  const room = useRoom<"chat:1", Contract>("chat:1");
  const { messages, gap } = useMessages(room, { history: 2, limit: 3 });
  return (
    <p>
      {messages.map((item) => (item.name === "said" ? `${item.data.text} ` : "?"))}
      {gap?.reason}
    </p>
  );
}

function Members() {
  const { members, occupancy } = usePresence(useRoom<"chat:1", Contract>("chat:1"));
  return (
    <p>
      {members.map(({ user, state }) => `${user}${state?.away ? " (away)" : ""} `)}
      {occupancy?.connections}
    </p>
  );
}

function Counter() {
  const room = useRoom<"chat:1", Contract>("chat:1");
  const [count, setCount] = useState(0);
  useEvent(room, "signal:typing", ({ data }) => data.on && setCount(count + 1));
  return <p>{count}</p>;
}

function Lonely() {
  return <p>{useClient().status}</p>;
}

function show(client: Client<never>, children: ReactNode) {
  const tree = (shown: ReactNode) => (
    <StrictMode>
      <RealtimeProvider client={client as never}>{shown}</RealtimeProvider>
    </StrictMode>
  );
  const { rerender } = render(tree(children));
  return (shown: ReactNode) => rerender(tree(shown));
}

/** Answer commands by type until none comes for a while. */
async function answer(socket: ServerSocket, replies: Record<string, (command: Frame) => Frame>): Promise<Frame[]> {
  const commands: Frame[] = [];
  for (;;) {
    let command: Frame | null = null;
    await act(async () => {
      command = await socket.next(100);
    });
    const seen = command as Frame | null;
    if (!seen) return commands;
    commands.push(seen);
    const reply = replies[seen.type as string];
    if (reply) socket.send(reply(seen));
  }
}

const message = (offset: number, text: string): Frame => ({
  offset,
  name: "said",
  data: { text },
  time_ms: 1,
  from: null,
});
const text = () => document.body.textContent;

test("a room is joined while it is shown, once for all components, and left after the last", async (context) => {
  const { client, accept } = await pair(context);
  const change = show(client as never, [<One key="1" />, <One key="2" />]);
  let socket!: ServerSocket;
  await act(async () => {
    socket = await accept();
  });
  await waitFor(() => assert.equal(text(), "connected chat:1connected chat:1"));
  const join = { join: (command: Frame) => joined(command) };
  assert.deepEqual(
    (await answer(socket, join)).map(({ type }) => type),
    ["join"],
  );
  change(<One key="1" />);
  assert.deepEqual(await answer(socket, join), []);
  change(null);
  assert.deepEqual(
    (await answer(socket, join)).map(({ type }) => type),
    ["leave"],
  );
});

test("messages are the kept ones, then those that come, each once; a gap is told", async (context) => {
  const { client, accept } = await pair(context);
  show(client as never, <Chat />);
  const socket = await accept();
  const kept = [message(1, "one"), message(2, "two")];
  const live = (offset: number, said: string) =>
    socket.send({ type: "message", room: "chat:1", ...message(offset, said) });
  await answer(socket, {
    join: (command) => joined(command, { position: "e:1" }),
    history: (command) => {
      live(2, "two");
      return {
        type: "history",
        id: command.id,
        room: "chat:1",
        messages: kept,
        position: "e:2",
        more: false,
        complete: true,
      };
    },
  });
  await waitFor(() => assert.equal(text(), "one two "));
  for (const [offset, said] of [
    [3, "three"],
    [4, "four"],
  ] as const)
    live(offset, said);
  socket.send({ type: "gap", room: "chat:1", from: "e:4", to: "e:9", reason: "slow" });
  await waitFor(() => assert.equal(text(), "two three four slow"));
});

test("presence is watched, and follows what comes", async (context) => {
  const { client, accept } = await pair(context);
  show(client as never, <Members />);
  const socket = await accept();
  const member = (user: string, away = false) => ({ user, connection: user, state: { away }, joined_at_ms: 1 });
  const members = [member("alice")];
  await answer(socket, { join: (command) => joined(command, command.watch ? { members } : {}) });
  await waitFor(() => assert.equal(text(), "alice 1"));
  const occupancy = { connections: 2, users: 2 };
  socket.send({
    type: "presence",
    room: "chat:1",
    joined: [member("bob")],
    changed: [member("alice", true)],
    left: [],
    occupancy,
  });
  await waitFor(() => assert.equal(text(), "alice (away) bob 2"));
});

test("an event calls the handler of the last render", async (context) => {
  const { client, accept } = await pair(context);
  show(client as never, <Counter />);
  const socket = await accept();
  await answer(socket, { join: (command) => joined(command) });
  for (const count of ["1", "2"]) {
    const from = { user: "bob", connection: "c" };
    socket.send({ type: "signal", room: "chat:1", name: "typing", data: { on: true }, from });
    await waitFor(() => assert.equal(text(), count));
  }
});

test("without a provider the hooks say so", () => {
  const { error } = console;
  console.error = () => {};
  assert.throws(() => render(<Lonely />), /RealtimeProvider/);
  console.error = error;
  assert.equal(screen.queryByText("idle"), null);
});
