/** Checked by tsc alone: what must be right compiles, what must be wrong is an error at its line. */
import { createClient, type Room } from "../src/index.js";
import type { ChatEdited, ChatSaid, Contract } from "./contract.js";

const client = createClient<Contract>({ url: "wss://example.org/v1/connect", getToken: async () => "token" });
const id: string = String(Math.random());

type Equal<One, Other> = (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;
const isTrue = <_Claim extends true>(): void => {};

// The exact name, else the longest prefix
const chat = client.room("chat:42");
const computed = client.room(`chat:${id}`);
isTrue<Equal<typeof chat, Room<Contract["chat:*"]>>>();
isTrue<Equal<typeof computed, Room<Contract["chat:*"]>>>();
isTrue<Equal<ReturnType<typeof lobby>, Room<Contract["chat:lobby"]>>>();
isTrue<Equal<ReturnType<typeof vip>, Room<Contract["chat:vip:*"]>>>();
const lobby = () => client.room("chat:lobby");
const vip = () => client.room("chat:vip:1");

// Publishing
chat.publish("said", { text: "hello" });
chat.publish("said", { text: "hello", urgent: true });
chat.publish("anything", { else: 1 });
chat.publish(null, 1);
// @ts-expect-error: a wrong field
chat.publish("said", { txt: "hello" });
// @ts-expect-error: a wrong type
chat.publish("said", { text: 1 });
// @ts-expect-error: a missing field
computed.publish("edited", { text: "hello" });
// @ts-expect-error: a field too many
chat.publish("said", { text: "hello", colour: "red" });
// @ts-expect-error: no other names are allowed there
lobby().publish("said", { text: "hello" });
// @ts-expect-error: nor is none
lobby().publish(null, { text: "hello" });
// @ts-expect-error: that is the data of another room type
vip().publish("bid", { to: "all" });
vip().publish("bid", { cents: 100 });

// Signals and state
chat.signal("typing", { on: true });
// @ts-expect-error: a wrong type
chat.signal("typing", { on: "yes" });
// @ts-expect-error: no signals are allowed there
lobby().signal("typing", { on: true });
chat.presence.set({ away: true });
// @ts-expect-error: a wrong field
chat.presence.set({ gone: true });
// @ts-expect-error: a wrong state
client.room("chat:1", { state: { away: 1 } });
chat.presence.members.map((member) => member.state?.away.valueOf());

// Receiving
chat.on("message:said", (message) => {
  isTrue<Equal<typeof message.data, ChatSaid>>();
  isTrue<Equal<typeof message.name, "said">>();
  // @ts-expect-error: no such field
  message.data.txt;
});
chat.on("message", (message) => {
  switch (message.name) {
    case "said":
      isTrue<Equal<typeof message.data, ChatSaid>>();
      break;
    case "edited":
      isTrue<Equal<typeof message.data, ChatEdited>>();
      break;
    default:
      isTrue<Equal<typeof message.data, unknown>>();
  }
});
chat.on("message:other", (message) => isTrue<Equal<typeof message.data, unknown>>());
chat.on("signal:typing", (signal) => signal.data.on.valueOf());
chat.on("gap", (gap) => gap.reason);
// @ts-expect-error: no such event
chat.on("gape", () => {});
// @ts-expect-error: no other names come there
lobby().on("message:said", () => {});

export async function read(): Promise<void> {
  for await (const item of chat.stream()) {
    if (item.type === "message" && item.name === "said") isTrue<Equal<typeof item.data, ChatSaid>>();
    else if (item.type === "gap") isTrue<Equal<typeof item.to, string | null>>();
  }
  const { messages } = await lobby().history();
  for (const message of messages) isTrue<Equal<typeof message.data, { to: string }>>();
  const { position } = await chat.publish("said", { text: "hello" });
  isTrue<Equal<typeof position, string | null>>();
}

// Rooms that the contract does not know, and clients without one
const other = client.room("news");
other.publish("anything", 1);
other.on("message", ({ data }) => isTrue<Equal<typeof data, unknown>>());
createClient({ url: "wss://example.org", getToken: () => "token" })
  .room("chat:42")
  .publish("said", 1);

// The pattern `*` catches the rest
interface Rest {
  "*": { messages: { beat: { count: number } }; signals: {}; state: unknown; additional: false };
  "news:*": { messages: { item: string }; signals: {}; state: unknown; additional: false };
}
const rest = createClient<Rest>({ url: "wss://example.org", getToken: () => "token" });
rest.room("whatever").publish("beat", { count: 1 });
rest.room("news:1").publish("item", "text");
// @ts-expect-error: `news:*` is longer
rest.room("news:1").publish("beat", { count: 1 });

// @ts-expect-error: a contract has shapes
createClient<{ "chat:*": string }>({ url: "wss://example.org", getToken: () => "token" });
